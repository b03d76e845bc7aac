"""A folder of PNG files, one sub-folder a class, which everybody's loader reads.

    NAME/train/CLASS/ID.png     one record each, named by its random id
    NAME/dkds.records           the order of the records: a line `ID LABEL` for each
    NAME/dkds.json

Paths are always made from class names and ids, and never read from a file.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from dkjax.dkds import Manifest
from dkjax.dkds.convert.container import Container, check_is_picture, unreadable
from dkjax.dkds.convert.png import decode_png, encode_png
from dkjax.dkds.convert.stream import Chunk, RecordStream, ids_of, names_of, rows_at_a_time
from dkjax.errors import DataError
from dkjax.runtime.threads import on_all_cores
from dkjax.sources.source import check_labels

_TRAIN = "train"
_RECORDS = "dkds.records"
_LINE = re.compile(r"([0-9a-f]{32}) ([0-9]{1,9})\n")

_UNSAFE = frozenset('/\\:*?"<>|%')
_MAX_BYTES = 200


class PngContainer(Container):
    """A folder of class folders. Other loaders number the classes by the order of the folders' names."""

    name = "png"
    title = "a folder of PNG files"

    def check(self, manifest: Manifest) -> None:
        """Refuse what PNG cannot hold."""
        check_is_picture(manifest, self.title)

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write the images, and their order."""
        folders = _class_folders(folder, manifest)
        with open(folder / _RECORDS, "w", encoding="ascii") as order:
            for image, label, ids in records:
                names, labels = names_of(ids), label.tolist()
                for number in set(labels):
                    folders[number].mkdir(parents=True, exist_ok=True)
                files = [folders[number] / f"{name}.png" for name, number in zip(names, labels, strict=True)]
                on_all_cores(lambda pair: pair[0].write_bytes(encode_png(pair[1])), zip(files, image, strict=True))
                order.writelines(f"{name} {number}\n" for name, number in zip(names, labels, strict=True))

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read the images in the order in which they were written."""
        folders = _class_folders(path, manifest)
        _refuse_additions(path / _TRAIN, manifest)
        try:
            order = open(path / _RECORDS, encoding="ascii")  # noqa: SIM115
        except FileNotFoundError:
            raise DataError(f"{path / _RECORDS} is missing: copy it again") from None
        with order:
            while lines := list(islice(order, rows_at_a_time(manifest))):
                pairs = [_LINE.fullmatch(line) for line in lines]
                if None in pairs:
                    raise DataError(f"{path / _RECORDS} has a line that is no `ID LABEL`: copy it again")
                names = [pair[1] for pair in pairs if pair]
                labels = np.array([int(pair[2]) for pair in pairs if pair])
                label = check_labels(labels, len(folders), str(path / _RECORDS))
                files = [folders[number] / f"{name}.png" for name, number in zip(names, label, strict=True)]
                images = on_all_cores(lambda file: _read(file, manifest), files)
                yield Chunk(np.stack(images), label, ids_of(names))

    def how_to_read(self, path: Path) -> str:
        """Name one of many loaders."""
        return f'torchvision.datasets.ImageFolder("{path / _TRAIN}")'


def folder_name(class_name: str) -> str:
    """Make the name of a folder of the name of a class.

    Args:
        class_name: any text.

    Returns:
        The same text if it can be one folder's visible name on any file system, else with `%XX` in place of what
        cannot, as in web addresses; of a longer one the beginning and a hash. It is never empty, never begins with a
        dot and has no slash. Different classes get different folders.
    """
    kept = "".join(
        letter if letter.isprintable() and letter not in _UNSAFE else _percent(letter) for letter in class_name
    )
    # A dot in front hides a folder; a dot or a space at the end is lost on some file systems.
    if kept[:1] == ".":
        kept = _percent(".") + kept[1:]
    if kept[-1:] in (".", " "):
        kept = kept[:-1] + _percent(kept[-1])
    data = kept.encode()
    if len(data) > _MAX_BYTES:
        digest = hashlib.sha256(class_name.encode()).hexdigest()[:32]
        # `%-` and a lone `%` cannot come out of the lines above.
        kept = f"{data[: _MAX_BYTES - 40].decode(errors='ignore')}%-{digest}"
    return kept or "%"


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _class_folders(path: Path, manifest: Manifest) -> list[Path]:
    return [path / _TRAIN / folder_name(name) for name in manifest.class_names]


def _read(file: Path, manifest: Manifest) -> np.ndarray:
    try:
        return decode_png(file.read_bytes(), manifest.image_shape)
    except FileNotFoundError:
        raise DataError(f"{file} is missing: its record was removed, renamed or given another class") from None
    except Exception as error:
        raise unreadable(file, error) from error


def _refuse_additions(train: Path, manifest: Manifest) -> None:
    """Raise `DataError` if there are more files than records: who added them wants them to be in the data set."""
    found = sum(len(files) for _, _, files in os.walk(train))
    if found > manifest.records:
        raise DataError(
            f"{train} has {found} files, but {manifest.records} records were exported: files were added to it; "
            "encrypt images of your own with dkjax encrypt"
        )
