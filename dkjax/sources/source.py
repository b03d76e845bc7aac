"""What every data source offers: images and labels by position, the same for memory, folders and archives.

A source is indexed with positions and answers with a batch of NumPy arrays. Nothing here needs JAX, and nothing is
read before it is asked for, so a client with ten million photographs needs no more memory than one batch.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.sources.findings import Findings, Skipped, findings_of
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.resize import check_image_size, resize_images, to_channels
from dkjax.sources.value_range import to_bytes

Indices = NDArray[np.integer] | slice


class Records(TypedDict):
    """Some images and their labels: `image` uint8[n, H, W, C], `label` int32[n]."""

    image: NDArray[np.uint8]
    label: NDArray[np.int32]


@runtime_checkable
class Source(Protocol):
    """Labelled images, read by position.

    A record that turns out to be unreadable is left out of its batch, which is then smaller than asked for, and is
    listed in `skipped` once, however often it is asked for.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """H, W, C of every image that comes out, after resizing."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label, in the order of the labels 0, 1, ..."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of all records, also of those that may prove unreadable, int32[len(source)]; decodes no image."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """The records found unreadable so far."""

    def __len__(self) -> int:
        """How many records there are, unreadable ones included."""

    def __getitem__(self, indices: Indices) -> Records:
        """Read the records at these positions, in this order."""


class Indexed(Protocol):
    """Records by position, all readable: a `RecordPool`, an encrypted data set, or a source without a fault."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of all records, int32[n]."""

    def __len__(self) -> int:
        """How many records there are."""

    def __getitem__(self, indices: Indices) -> Records:
        """Read the records at these positions, in this order."""


def positions(indices: Indices, length: int) -> NDArray[np.int64]:
    """Turn what stands between the brackets of a source into positions.

    Args:
        indices: a slice, or one-dimensional integers, each in `0..length-1`.
        length: the number of records in the source.

    Returns:
        int64[n], the positions in the order asked for.

    Raises:
        ArgumentError: the indices are no slice and no one-dimensional integers, or reach outside the source.
    """
    if isinstance(indices, slice):
        return np.arange(*indices.indices(length), dtype=np.int64)
    array = np.asarray(indices)
    if array.ndim == 1 and not array.size:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ArgumentError(
            f"a source is indexed with a slice or one-dimensional integers, not {array.dtype}{list(array.shape)}; "
            "for a single record write source[i : i + 1]"
        )
    outside = (array < 0) | (array >= length)
    if outside.any():
        raise ArgumentError(f"index {array[outside][0]} is outside 0..{length - 1}, the records of this source")
    return array.astype(np.int64)


def check_labels(labels: np.ndarray, num_classes: int, where: str) -> NDArray[np.int32]:
    """Check that labels are class numbers.

    Args:
        labels: integers [n].
        num_classes: how many classes there are.
        where: what the labels belong to, for the message.

    Returns:
        int32[n], the same labels.

    Raises:
        DataError: the labels are not one-dimensional integers, or one lies outside `0..num_classes-1`.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if outside.size:
        first = outside[0]
        raise DataError(
            f"{where}: record {first} has label {labels[first]}, outside 0..{num_classes - 1} "
            f"({num_classes} classes); correct the labels or the class names"
        )
    return labels.astype(np.int32)


class ArraySource:
    """A source over arrays: in memory, or mapped from a file.

    Images are resized and given their channels batch by batch, so a mapped array stays on disk.

    Args:
        images: uint8[n, H, W, C], or uint8[n, H, W] for one channel; other numbers where `preparation` has a range.
        labels: integers [n], each in `0..len(class_names)-1`.
        class_names: the name of each class.
        image_size: (H, W) of the images that come out; their own size if None.
        channels: 1 or 3 to convert to grey or RGB; as they are if None.
        name: what messages call the data.
        preparation: what becomes of other proportions, and of values that are not uint8.

    Raises:
        DataError: wrong dtype or shape, no record, or a label outside the classes.
        ArgumentError: a size or number of channels that cannot be made.

    Guarantees:
        A batch is a copy: changing it changes nothing else
        (`tests/sources/test_source.py::test_batches_are_copies`).
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        name: str = "arrays",
        preparation: Preparation = AS_IS,
    ) -> None:
        scaled = preparation.value_range is not None and images.dtype.kind in "uif"
        if (images.dtype != np.uint8 and not scaled) or images.ndim not in (3, 4):
            hint = "; set data.range to the values that are black and white" if images.dtype.kind in "uif" else ""
            raise DataError(
                f"{name}: images must be uint8 of shape [n, H, W, C] or [n, H, W], "
                f"got {images.dtype}{list(images.shape)}{hint if images.dtype != np.uint8 else ''}"
            )
        if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] > 4:
            raise DataError(
                f"{name}: images of shape {list(images.shape)} seem to have their channels first; save them as "
                "[n, H, W, C]: images.transpose(0, 2, 3, 1)"
            )
        if images.ndim == 4 and images.shape[1] == images.shape[2] == images.shape[3] > 4:
            raise DataError(f"{name}: images of shape {list(images.shape)} seem to be volumes; save slices [n, H, W]")
        images = images if images.ndim == 4 else images[..., None]
        if 0 in images.shape:
            raise DataError(f"{name}: images of shape {list(images.shape)} hold no pixel; give at least one image")
        if len(labels) != len(images):
            raise DataError(f"{name}: {len(images)} images but {len(labels)} labels; there must be one label an image")
        self.class_names = tuple(class_names)
        self.labels = check_labels(labels, len(self.class_names), name)
        self.skipped: tuple[Skipped, ...] = ()
        self._name = name
        self._images = images
        self._channels = channels
        self._preparation = preparation
        own_size = (images.shape[1], images.shape[2])
        self._size = own_size if image_size is None else check_image_size(image_size)
        one_pixel = to_channels(np.zeros((1, 1, 1, images.shape[3]), np.uint8), channels)
        self.image_shape = (*self._size, one_pixel.shape[3])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        # `asarray` turns a gathered memory map into a plain array.
        images = np.asarray(self._images[chosen])
        if images.dtype != np.uint8:
            images = self._as_bytes(images, chosen)
        images = to_channels(images, self._channels)
        return {"image": resize_images(images, self._size, self._preparation.resize), "label": self.labels[chosen]}

    def _as_bytes(self, images: np.ndarray, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        value_range = self._preparation.value_range
        assert value_range is not None
        scaled = np.empty(images.shape, np.uint8)
        for position, image, target in zip(chosen, images, scaled, strict=True):
            try:
                target[...] = to_bytes(image, value_range)
            except ValueError as error:
                raise DataError(f"{self._name}: image {position}: {error}") from None
        return scaled


class Subset:
    """Some records of another source, in a given order.

    Args:
        source: where the records come from.
        indices: integers [n], positions in `source`.

    Raises:
        ArgumentError: an index outside the source.
    """

    def __init__(self, source: Source, indices: NDArray[np.integer]) -> None:
        self._source = source
        self._indices = positions(indices, len(source))
        self.image_shape = source.image_shape
        self.class_names = source.class_names

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of the chosen records, int32[n]."""
        return self._source.labels[self._indices]

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What the whole source has skipped so far, by this view or by another one of it."""
        return self._source.skipped

    @property
    def findings(self) -> Findings:
        """What was noticed when the source was opened."""
        return findings_of(self._source)

    def natural_ids(self, by: str) -> list[str]:
        """As `dkjax.sources.source.natural_ids`, of the chosen records."""
        every = natural_ids(self._source, by)
        return [every[place] for place in self._indices]

    def stored_sizes(self, indices: Indices) -> list[tuple[int, int] | None]:
        """As the function `stored_sizes`."""
        return stored_sizes(self._source, self._indices[positions(indices, len(self))])

    def check(self, indices: Indices) -> list[Skipped | None]:
        """Say of records which will not be readable, as far as can be told without decoding them."""
        return check(self._source, self._indices[positions(indices, len(self))])

    def fingerprint(self, indices: Indices) -> str:
        """What records are read from, as a hash that changes with it."""
        return fingerprint(self._source, self._indices[positions(indices, len(self))])

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, indices: Indices) -> Records:
        return self._source[self._indices[positions(indices, len(self))]]


def check(source: Source, indices: Indices) -> list[Skipped | None]:
    """Say of records which will not be readable, as far as can be told without decoding them; None for the others."""
    if hasattr(source, "check"):
        return source.check(indices)
    return [None] * len(positions(indices, len(source)))


def fingerprint(source: Source, indices: Indices) -> str:
    """Tell what some records are read from, so that a later change is noticed.

    Args:
        source: the source.
        indices: which records.

    Returns:
        A hash over names, sizes and times of their files, in the order of the indices; empty where a source does not
        read each record from a file of its own.
    """
    return source.fingerprint(indices) if hasattr(source, "fingerprint") else ""


def stored_sizes(source: Source, indices: Indices) -> list[tuple[int, int] | None]:
    """Say which (H, W) some pictures have before they are resized; None where that is not known without decoding."""
    if hasattr(source, "stored_sizes"):
        return source.stored_sizes(indices)
    return [None] * len(positions(indices, len(source)))


def natural_ids(source: Source, by: str) -> list[str]:
    """Say of every record where it is from, such as its site or camera; decodes no image.

    Args:
        source: the source.
        by: a column of the table of labels, or `folder` for the sub-folder that an image is in.

    Raises:
        ConfigError: the source has no such column, or is neither a folder nor a table.
        DataError: a record has no value.
    """
    if hasattr(source, "natural_ids"):
        return source.natural_ids(by)
    raise ConfigError(
        "clients.partition='natural_id' needs to know where each image is from, and this source does not say it: use a "
        "folder of images, with sub-folders or with a table (data.labels)"
    )


def read_all(source: Source, batch_size: int = 1024, progress: Callable[[int, int], None] | None = None) -> Records:
    """Read a whole source into memory.

    Args:
        source: what to read.
        batch_size: how many records to decode at a time.
        progress: called with (records done, records in all) after each batch.

    Returns:
        All readable records in order: `image` uint8[n, H, W, C], `label` int32[n].

    Raises:
        ArgumentError: `batch_size` below 1.
        DataError: not one record could be read.
    """
    if batch_size < 1:
        raise ArgumentError(f"batch_size must be at least 1, got {batch_size}")
    # One allocation of the final size: concatenating batches would need twice the memory.
    images = np.empty((len(source), *source.image_shape), np.uint8)
    labels = np.empty(len(source), np.int32)
    filled = 0
    for start in range(0, len(source), batch_size):
        batch = source[start : start + batch_size]
        end = filled + len(batch["label"])
        images[filled:end], labels[filled:end] = batch["image"], batch["label"]
        filled = end
        if progress is not None:
            progress(min(start + batch_size, len(source)), len(source))
    if not filled:
        first = f"; the first, {source.skipped[0].name}: {source.skipped[0].reason}" if source.skipped else ""
        raise DataError(f"none of the {len(source)} records could be read{first}")
    return {"image": images[:filled], "label": labels[:filled]}


def take(records: Records, indices: np.ndarray | slice) -> Records:
    """Return some of the records, in the order of the indices."""
    return {"image": records["image"][indices], "label": records["label"][indices]}
