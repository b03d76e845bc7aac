"""Sources in memory, views of them, and reading them whole."""

import numpy as np
import pytest

from dkjax.errors import ArgumentError, DataError
from dkjax.sources import ArraySource, Skipped, Source, Subset, read_all
from dkjax.sources.preparation import Preparation
from dkjax.sources.source import Indices, Records, positions


def _arrays(num_images: int = 10, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (num_images, 6, 4, channels), np.uint8)
    return images, np.arange(num_images) % 3


def _source(**options: object) -> ArraySource:
    return ArraySource(*_arrays(), ("a", "b", "c"), **options)  # type: ignore[arg-type]


class _Damaged(ArraySource):
    """A source whose odd records cannot be read."""

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        for bad in chosen[chosen % 2 == 1]:
            entry = Skipped(str(bad), "odd")
            self.skipped = self.skipped if entry in self.skipped else (*self.skipped, entry)
        return super().__getitem__(chosen[chosen % 2 == 0])


def test_members_follow_the_protocol() -> None:
    source = _source()
    assert isinstance(source, Source)
    assert isinstance(Subset(source, np.arange(2)), Source)


@pytest.mark.parametrize(
    "indices", [slice(None), slice(2, 5), slice(None, None, -3), np.array([7, 0, 7]), np.array([])]
)
def test_indexing_agrees_with_numpy(indices: np.ndarray | slice) -> None:
    images, labels = _arrays()
    batch = _source()[indices]
    numpy_indices = indices if isinstance(indices, slice) else indices.astype(int)
    np.testing.assert_array_equal(batch["image"], images[numpy_indices])
    np.testing.assert_array_equal(batch["label"], labels[numpy_indices])
    assert batch["image"].dtype == np.uint8
    assert batch["label"].dtype == np.int32


@pytest.mark.parametrize("indices", [3, np.array([[1]]), np.array([0.5]), np.array([True, False]), [-1], [10]])
def test_unusable_indices(indices: object) -> None:
    with pytest.raises(ArgumentError, match=r"slice|outside 0\.\.9"):
        _source()[indices]  # type: ignore[index]


def test_batches_are_copies() -> None:
    source = _source()
    before = source[:]["image"].copy()
    source[:]["image"][...] = 0
    source[:]["label"][...] = 0
    np.testing.assert_array_equal(source[:]["image"], before)
    assert source.labels.any()


def test_size_and_channels() -> None:
    source = _source(image_size=(8, 5), channels=1)
    assert source.image_shape == (8, 5, 1)
    assert source[:2]["image"].shape == (2, 8, 5, 1)


def test_missing_channel_axis_is_one_channel() -> None:
    images, labels = _arrays(channels=1)
    source = ArraySource(images[..., 0], labels, ("a", "b", "c"))
    np.testing.assert_array_equal(source[:]["image"], images)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 3, 1)), [0, 0], "uint8 of shape"),
        (np.zeros((2, 3), np.uint8), [0, 0], "uint8 of shape"),
        (np.zeros((0, 3, 3, 1), np.uint8), [], "at least one image"),
        (np.zeros((2, 3, 3, 1), np.uint8), [0], "2 images but 1 labels"),
        (np.zeros((2, 3, 3, 1), np.uint8), [0.0, 1.0], "labels must be integers"),
        (np.zeros((3, 3, 3, 1), np.uint8), [0, 3, 7], r"record 1 has label 3, outside 0\.\.2 \(3 classes\)"),
        (np.zeros((2, 3, 3, 1), np.uint8), [0, -1], "record 1 has label -1"),
    ],
)
def test_unusable_arrays(images: np.ndarray, labels: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ArraySource(images, np.array(labels), ("a", "b", "c"))


def test_subset_is_a_view_in_its_own_order() -> None:
    source = _source()
    view = Subset(Subset(source, np.array([9, 4, 2, 0])), np.array([2, 0]))
    assert len(view) == 2
    assert (view.image_shape, view.class_names) == (source.image_shape, source.class_names)
    np.testing.assert_array_equal(view[:]["image"], source[np.array([2, 9])]["image"])
    np.testing.assert_array_equal(view.labels, source.labels[[2, 9]])


def test_subset_refuses_positions_outside() -> None:
    with pytest.raises(ArgumentError, match="index 10 is outside"):
        Subset(_source(), np.array([10]))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 100])
def test_read_all_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    calls: list[tuple[int, int]] = []
    batch = read_all(_source(), batch_size, lambda done, total: calls.append((done, total)))
    images, labels = _arrays()
    np.testing.assert_array_equal(batch["image"], images)
    np.testing.assert_array_equal(batch["label"], labels)
    assert calls[-1] == (10, 10)


def test_read_all_leaves_unreadable_records_out() -> None:
    source = _Damaged(*_arrays(), ("a", "b", "c"))
    batch = read_all(source, 4)
    np.testing.assert_array_equal(batch["image"], _arrays()[0][::2])
    assert [name for name, _ in source.skipped] == ["1", "3", "5", "7", "9"]


def test_read_all_of_nothing_readable() -> None:
    source = Subset(_Damaged(*_arrays(), ("a", "b", "c")), np.array([1, 3]))
    with pytest.raises(DataError, match="none of the 2 records could be read; the first, 1: odd"):
        read_all(source)
    with pytest.raises(ArgumentError, match="batch_size"):
        read_all(source, 0)


def test_channels_first_is_refused() -> None:
    for channels in (1, 3):
        images = np.zeros((5, channels, 32, 32), np.uint8)
        with pytest.raises(DataError, match=r"channels first; save them as \[n, H, W, C\]: images.transpose"):
            ArraySource(images, np.zeros(5, int), ("a",), (16, 16))
        assert ArraySource(images.transpose(0, 2, 3, 1), np.zeros(5, int), ("a",)).image_shape == (32, 32, channels)


def test_other_numbers_need_a_range() -> None:
    values = np.linspace(0, 4095, 5 * 16).astype(np.uint16).reshape(5, 4, 4, 1)
    with pytest.raises(DataError, match=r"got uint16\[5, 4, 4, 1\]; set data.range"):
        ArraySource(values, np.zeros(5, int), ("a",))
    source = ArraySource(values, np.zeros(5, int), ("a",), preparation=Preparation(value_range=(0, 4095)))
    np.testing.assert_array_equal(source[1:3]["image"], np.rint(values[1:3] * (255 / 4095)))
    bad = np.full((2, 4, 4), np.nan, np.float32)
    with pytest.raises(DataError, match="arrays: image 1: some values are no numbers"):
        ArraySource(bad, np.zeros(2, int), ("a",), preparation=Preparation(value_range=(0, 1)))[np.array([1])]
