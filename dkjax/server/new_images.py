"""Images without labels, for a trained model to name: files, folders at any depth, arrays, encrypted data sets."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dkjax.config import ServerDataConfig, parse_as
from dkjax.dkds import layout
from dkjax.dkds.verify import require_whole
from dkjax.errors import DataError
from dkjax.formats.npz import array_names, read_array
from dkjax.runtime.files import read_json
from dkjax.runtime.prefetch import prefetch
from dkjax.server.merge import check_shape
from dkjax.sources.decode import Unreadable, decode_images
from dkjax.sources.folder_walk import FolderWalk
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.source import ArraySource, Skipped

_CHUNK = 256

_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some images.

    Attributes:
        names: of each image: its path, or the path of its archive and its number there.
        images: uint8[n, H, W, C], of the model's shape.
        skipped: what could not be read.
        resized: how many of the images had another size.
    """

    names: tuple[str, ...]
    images: NDArray[np.uint8]
    skipped: tuple[Skipped, ...] = ()
    resized: int = 0


class NewImages:
    """Images for a model, read chunk by chunk when they are iterated over.

    Args:
        paths: image files, folders of them at any depth, `.npz` archives with `image`, encrypted data sets `.dkds`.
        image_shape: `(H, W, C)` of the model's images; plain images are brought to it.
        preparation: what becomes of other proportions and of more than 8 bits, see `preparation_of`.

    Attributes:
        total: files and images that there are, those that prove unreadable included.
        skipped: what could not be read so far.
        resized: how many images had another size so far.

    Raises:
        DataError: a path does not exist, a folder has no file, an archive no images, an encrypted data set is damaged
            or of another shape, or plain images cannot have the model's number of channels.

    Guarantees:
        - an image of another size is what training would have seen of it
          (`test_new_images.py::test_another_size_as_at_training`
          and `test_new_images.py::test_prepared_as_at_training`).
        - linked folders are read, circles of them once (`test_new_images.py::test_linked_folders`).
    """

    def __init__(
        self, paths: Sequence[Path], image_shape: tuple[int, int, int], preparation: Preparation = AS_IS
    ) -> None:
        self._shape = image_shape
        self._preparation = preparation
        self._unreadable: list[Skipped] = []
        self._chunks: list[Callable[[], Chunk]] = []
        self.total = 0
        for path in paths:
            self._add(path)
        self.total += len(self._unreadable)
        self.skipped: list[Skipped] = []
        self.resized = 0

    def __iter__(self) -> Iterator[Chunk]:
        if self._unreadable:
            self.skipped += self._unreadable
            yield Chunk((), np.empty((0, *self._shape), np.uint8), tuple(self._unreadable))
        # The next chunk is decoded while the model is at work on this one.
        for chunk in prefetch(lambda read: read(), self._chunks):
            self.skipped += chunk.skipped
            self.resized += chunk.resized
            yield chunk

    def _add(self, path: Path) -> None:
        if path.suffix == layout.SUFFIX:
            (data_set,) = require_whole([path])
            check_shape(data_set.image_shape, str(path), self._shape, "the model")
            self._add_array(path, len(data_set), lambda rows: data_set[rows]["image"])
            return
        if self._shape[2] not in (1, 3):
            raise DataError(f"{path}: plain images have 1 or 3 channels, the model's {self._shape[2]}: name a .dkds")
        if path.suffix == ".npz" and path.is_file():
            if "image" not in (found := array_names(path)):
                there = f", but {', '.join(sorted(found))}" if found else ""
                raise DataError(
                    f"{path} has no array 'image'{there}: write those to be predicted as 'image', [n, H, W(, C)]"
                )
            images = read_array(path, "image")
            labels = np.zeros(len(images), np.int32)
            height_width, channels = self._shape[:2], self._shape[2]
            source = ArraySource(
                images, labels, ("",), height_width, channels, name=str(path), preparation=self._preparation
            )
            resized = images.shape[1:3] != self._shape[:2]
            self._add_array(path, len(source), lambda rows: source[rows]["image"], resized)
        elif path.is_dir():
            walk = FolderWalk(path)
            (names,) = walk.files(["."])
            files = [path / name for name in names]
            self._unreadable += [Skipped(str(path / entry.name), entry.reason) for entry in walk.left_out]
            if not files and not self._unreadable:
                raise DataError(f"no image in the folder {path}: expected image files there, or in folders below it")
            self._add_files(files)
        elif os.path.lexists(path):
            self._add_files([path])
        else:
            raise DataError(f"no file or folder {path}: expected an image, a folder of images, a .npz file or a .dkds")

    def _add_array(
        self, path: Path, count: int, read: Callable[[slice], NDArray[np.uint8]], resized: bool = False
    ) -> None:
        self.total += count

        def chunk(first: int) -> Chunk:
            names = tuple(f"{path}[{number}]" for number in range(first, min(count, first + _CHUNK)))
            return Chunk(names, read(slice(first, first + _CHUNK)), resized=len(names) if resized else 0)

        self._chunks += [partial(chunk, first) for first in range(0, count, _CHUNK)]

    def _add_files(self, files: Sequence[Path]) -> None:
        self.total += len(files)
        for first in range(0, len(files), _CHUNK):
            self._chunks.append(partial(self._decoded, files[first : first + _CHUNK]))

    def _decoded(self, files: Sequence[Path]) -> Chunk:
        decoded = decode_images(files, self._shape[:2], self._shape[2], self._preparation)
        pairs = list(zip(files, decoded, strict=True))
        read = [(file, image) for file, image in pairs if not isinstance(image, Unreadable)]
        return Chunk(
            tuple(str(file) for file, _ in read),
            np.array([image for _, image in read], np.uint8).reshape(-1, *self._shape),
            tuple(Skipped(str(file), image.reason) for file, image in pairs if isinstance(image, Unreadable)),
            sum(_own_size(file) not in (None, self._shape[:2]) for file, _ in read),
        )


def preparation_of(workdir: Path) -> Preparation:
    """Return how plain images were prepared for a training, as its configuration says; the default where there is none.

    Args:
        workdir: of a training, or `arms/NAME/run-N` of a simulation.

    Raises:
        DataError: the configuration that is kept there is damaged.
    """
    folders = (workdir, *workdir.absolute().parents[2:3])
    path = next((folder / "config.json" for folder in folders if (folder / "config.json").is_file()), None)
    if path is None:
        return AS_IS
    try:
        data = read_json(path)["config"].get("data", {})  # type: ignore[index]
        parse_as(ServerDataConfig, data)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path} is not the configuration of a training: copy it again, or the whole folder") from None
    return Preparation.of(data)


def _own_size(file: Path) -> tuple[int, int] | None:
    """Height and width of an image as a person sees it; None where its header does not say."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            return (width, height) if image.getexif().get(_ORIENTATION) in _LYING else (height, width)
    except Exception:
        return None
