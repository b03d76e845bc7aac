"""Arrays of an archive; what else can go wrong with one is tested through the images in `test_npz.py`."""

import ml_dtypes
import numpy as np
import pytest

from dkjax.errors import DataError
from dkjax.formats.npz import array_names, read_array


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(2, 3), (), (0,)])
def test_bfloat16_comes_back(tmp_path, save, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(ml_dtypes.bfloat16)
    save(tmp_path / "a.npz", **{"params/kernel": array})
    assert array_names(tmp_path / "a.npz") == {"params/kernel"}
    read = read_array(tmp_path / "a.npz", "params/kernel")
    assert read.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("dtype", ["V4", [("a", "f4")], object])
def test_records_and_objects_are_refused(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", a=np.zeros(2, dtype))
    with pytest.raises(DataError, match="Python objects or records"):
        read_array(tmp_path / "a.npz", "a")
