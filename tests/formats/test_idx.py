"""The reader of IDX files against true, false and arbitrary bytes."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dkjax.errors import DataError
from dkjax.formats.idx import read_idx

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def idx_bytes(array: np.ndarray, dtype: int = 0x08) -> bytes:
    """Write an array as an IDX file would hold it."""
    return bytes([0, 0, dtype, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@FUZZ
@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=6)), st.booleans())
def test_round_trip(tmp_path: Path, array: np.ndarray, compress: bool) -> None:
    content = idx_bytes(array)
    path = _write(tmp_path / "file", gzip.compress(content) if compress else content)
    np.testing.assert_array_equal(read_idx(path), array)


@FUZZ
@given(st.binary(max_size=80), st.sampled_from(["as it is", "magic", "gzip magic", "compressed", "compressed magic"]))
def test_any_bytes(tmp_path: Path, content: bytes, kind: str) -> None:
    if kind.endswith(" magic") or kind == "magic":
        content = b"\0\0\x08" + content
    content = {"compressed": gzip.compress(content), "compressed magic": gzip.compress(content)}.get(kind, content)
    content = b"\x1f\x8b\x08" + content if kind == "gzip magic" else content
    try:
        array = read_idx(_write(tmp_path / "file", content))
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert array.dtype == np.uint8


@FUZZ
@given(st.data())
def test_damaged_gzip_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 5), np.uint8)
    content = bytearray(gzip.compress(idx_bytes(array), mtime=0))
    # Bytes 3 to 9 of gzip's header (flags, time, system) are not data.
    place = data.draw(st.integers(10, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = read_idx(_write(tmp_path / "file", bytes(content)))
    except DataError:
        return
    # The last byte of the compressed data has bits that mean nothing.
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "begins with 89504e47"),
        (idx_bytes(np.zeros(4, np.uint8), dtype=0x0D), "data type 0x0d"),
        (bytes([0, 0, 8, 0]), "0 dimensions"),
        (bytes([0, 0, 8, 5]) + bytes(40), "5 dimensions"),
        (bytes([0, 0, 8, 3, 0, 0, 0]), "ends within its header"),
        (idx_bytes(np.zeros((0, 4), np.uint8)), "0x4 holds no data"),
        (idx_bytes(np.zeros((2, 4), np.uint8))[:-1], "2x4 = 8 bytes, more than the file can hold"),
        (idx_bytes(np.zeros((2, 4), np.uint8)) + b"\0", "2x4 = 8 bytes, but more follow"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_wrong_headers(tmp_path: Path, content: bytes, message: str, compress: bool) -> None:
    if compress:
        content, message = gzip.compress(content), message.replace("more than the file can hold", "but only 7 follow")
    with pytest.raises(DataError, match=message):
        read_idx(_write(tmp_path / "file", content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing cannot be read"):
        read_idx(tmp_path / "nothing")


def test_false_sizes_cost_no_memory(tmp_path: Path) -> None:
    # 4 GiB announced; 64 MiB of zeros in 64 kB of gzip behind a header of 8 bytes.
    huge = bytes([0, 0, 8, 2]) + struct.pack(">2I", 1 << 16, 1 << 16)
    bomb = gzip.compress(idx_bytes(np.zeros(8, np.uint8)) + bytes(1 << 26), 9)
    paths = [
        _write(tmp_path / "plain", huge + bytes(100)),
        _write(tmp_path / "gzip", gzip.compress(huge + bytes(100))),
        _write(tmp_path / "bomb", bomb),
    ]
    tracemalloc.start()
    try:
        for path in paths:
            with pytest.raises(DataError):
                read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_true_bomb_is_refused(tmp_path: Path) -> None:
    """A header that tells the truth about 512 MiB of zeros in half a megabyte."""
    head = bytes([0, 0, 8, 2]) + struct.pack(">2I", 1 << 14, 1 << 15)
    path = _write(tmp_path / "file", gzip.compress(head) + gzip.compress(bytes(1 << 20), 9) * 512)
    with pytest.raises(DataError, match="a decompression bomb"):
        read_idx(path)


def test_ten_to_the_fifteen_images(tmp_path: Path) -> None:
    content = bytes([0, 0, 8, 4]) + struct.pack(">4I", 10**9, 10**6, 28, 28) + bytes(784)
    for data in (content, gzip.compress(content)):
        with pytest.raises(DataError, match="1000000000x1000000x28x28"):
            read_idx(_write(tmp_path / "file", data))
