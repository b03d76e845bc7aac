"""Safetensors files that are written here are read by their own package."""

import io

import numpy as np
import pytest
from safetensors.numpy import load

from dkjax.formats.safetensors import write_safetensors


def written(arrays: dict[str, np.ndarray], **metadata: str) -> bytes:
    file = io.BytesIO()
    write_safetensors(file.write, arrays, metadata)
    return file.getvalue()


def test_the_package_reads_it() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "b": random.normal(size=(3, 2)).astype(np.float32),
        "a": random.integers(-9, 9, 5).astype(np.int32),
        "d": random.integers(0, 2**32, (2, 2), np.uint32),
        "c": random.integers(0, 256, (3, 4, 5), np.uint8),
        "none": np.empty((0, 3), np.uint8),
    }
    found = load(written(arrays, one="1", other="2"))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_layout_of_an_array_does_not_count() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    for other in (np.asfortranarray(array), array.astype(">i4"), np.repeat(array, 2, axis=0)[::2]):
        assert written({"a": other}) == written({"a": array})


def test_metadata_in_the_order_of_its_names() -> None:
    one = np.zeros(1, np.uint8)
    assert written({"a": one}, y="2", x="1") == written({"a": one}, x="1", y="2")


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(KeyError):
        written({"a": np.zeros(1, np.float64)})
