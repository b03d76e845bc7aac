"""Files mapped without descriptors: what they hold, what is noticed, and what is returned."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from dkjax.errors import DamagedDataSetError
from dkjax.runtime.mapped_file import map_file, require_unchanged


def mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


def test_nothing_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 100)
    descriptors = os.listdir("/proc/self/fd")
    array, _ = map_file(path)
    assert os.listdir("/proc/self/fd") == descriptors
    np.testing.assert_array_equal(array, np.tile(np.arange(256, dtype=np.uint8), 100))
    assert (array.dtype, array.flags.writeable) == (np.uint8, False)
    part = array[8:16].view("<u4")
    del array
    gc.collect()
    assert mapped(path)
    assert part.tolist() == [0x0B0A0908, 0x0F0E0D0C]
    del part
    gc.collect()
    assert not mapped(path)


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    arrays = [map_file(tmp_path / "a")[0] for _ in range(2000)]
    assert all(array.tobytes() == b"abc" for array in arrays)


def test_what_cannot_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(OSError, match=path.name):
            map_file(path)


@pytest.mark.parametrize("change", ["rewritten", "longer", "shorter", "replaced", "removed"])
def test_a_change_is_noticed(change: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    for one in (path, other):
        one.write_bytes(b"abc")
    os.utime(path, ns=(0, 1))
    files = [map_file(one)[1] for one in (other, path)]
    require_unchanged(files)
    if change == "removed":
        path.unlink()
    elif change == "replaced":
        other.rename(path)
        files = files[1:]
    else:
        path.write_bytes({"rewritten": b"abd", "longer": b"abcd", "shorter": b"ab"}[change])
    done = "removed" if change == "removed" else "written to"
    with pytest.raises(DamagedDataSetError, match=f"a was {done} while it was in use: copy it again") as caught:
        require_unchanged(files)
    assert (caught.value.kind, caught.value.exit_code) == ("changed", 4)
