"""Images that lie in one container as encoded files, each with a label."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError, ConfigError
from dkjax.sources.decode import Unreadable, decode_images
from dkjax.sources.findings import NOTHING_FOUND, Findings, Skipped
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.resize import check_image_size
from dkjax.sources.source import Indices, Records, check_labels, positions


class EncodedImagesSource:
    """Encoded images, read by position and decoded when they are asked for.

    Args:
        read: gives the bytes of the image at a position.
        labels: integers [n], each in `0..len(class_names)-1`.
        class_names: the name of each class.
        image_size: (H, W) of the images that come out.
        channels: 3 for RGB, 1 for grey; 3 if None.
        where: what messages call the container.
        preparation: what becomes of other proportions and of more than 8 bits.
        findings: what was noticed when the images were looked for.

    Raises:
        ConfigError: no image size.
        ArgumentError: an image size that is not positive, or another number of channels.
        DataError: a label outside the classes.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        labels: np.ndarray,
        class_names: Sequence[str],
        image_size: tuple[int, int] | None,
        channels: int | None,
        where: str,
        preparation: Preparation = AS_IS,
        findings: Findings = NOTHING_FOUND,
    ) -> None:
        if image_size is None:
            raise ConfigError(f"{where} needs an image size, since photographs differ: set data.image_size")
        channels = 3 if channels is None else channels
        if channels not in (1, 3):
            raise ArgumentError(f"channels must be 1 (grey) or 3 (RGB) for image files, got {channels}")
        self.class_names = tuple(class_names)
        self.image_shape = (*check_image_size(image_size), channels)
        self.labels = check_labels(labels, len(self.class_names), where)
        self.findings = findings
        self._read = read
        self._preparation = preparation
        self._skipped: dict[int, Skipped] = {}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The images found unreadable so far, named by their position."""
        return tuple(self._skipped.values())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        files = [self._read(position) for position in chosen.tolist()]
        decoded = decode_images(files, self.image_shape[:2], self.image_shape[2], self._preparation)
        images: list[NDArray[np.uint8]] = []
        readable: list[int] = []
        for position, image in zip(chosen.tolist(), decoded, strict=True):
            if isinstance(image, Unreadable):
                self._skipped.setdefault(position, Skipped(f"image {position}", image.reason))
            else:
                images.append(image)
                readable.append(position)
        stacked = np.stack(images) if images else np.empty((0, *self.image_shape), np.uint8)
        return {"image": stacked, "label": self.labels[np.array(readable, np.int64)]}


def numbered(labels: Sequence[object], class_names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number labels that are whole numbers or text.

    Args:
        labels: all labels of a container.
        class_names: what the numbers are called; known classes, where the labels are text.

    Returns:
        The class numbers int64[n], and the names of the classes: as given, else those of the text in order, else the
        numbers up to the largest.
    """
    if all(isinstance(label, int | np.integer) for label in labels):
        numbers = np.array(labels, np.int64)
        largest = int(numbers.max(initial=0))
        return numbers, tuple(class_names or map(str, range(min(largest, 1 << 16) + 1)))
    words = [str(label) for label in labels]
    names = tuple(class_names or sorted(set(words)))
    place = {name: number for number, name in enumerate(names)}
    return np.array([place.get(word, len(names)) for word in words]), names
