"""The file of packed records: its bytes, how small it is, and that no damage and no bomb passes."""

import json
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from odd_data_sets import Make, records_of
from sklearn.datasets import load_sample_image

from dkjax import client, schemes
from dkjax.dkds.convert import convert_data_set, packed
from dkjax.errors import DataError

RECORD = 8 * 12 * 3 + 4 + 16


def refused(export: Path, out: Path) -> str:
    with pytest.raises(DataError) as caught:
        convert_data_set(export, "dkds", out)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_frames_are_as_described(make: Make, tmp_path: Path) -> None:
    """Read by `struct` and `zlib` alone."""
    dkds = make()
    _, images, labels, ids = records_of(dkds)
    convert_data_set(dkds, "packed", tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["dkds.json", "records.dkpack"]
    assert json.loads((tmp_path / "there/dkds.json").read_text())["container"] == "packed"
    file, done = (tmp_path / "there/records.dkpack").read_bytes(), 0
    while file:
        count, length = struct.unpack("<II", file[:8])
        unpacked, file = zlib.decompress(file[8 : 8 + length]), file[8 + length :]
        assert len(unpacked) == count * RECORD
        assert np.frombuffer(unpacked, "<i4", count).tolist() == labels[done : done + count].tolist()
        assert unpacked[4 * count :][: 16 * count].hex() == "".join(ids[done : done + count])
        values = iter(unpacked[20 * count :])
        for image in images[done : done + count]:
            for row in (0, 4):
                for column in (0, 4, 8):
                    block = image[row : row + 4, column : column + 4].reshape(-1).tolist()
                    assert [next(values) for _ in block] == [
                        (value - before) % 256 for before, value in zip([0, *block], block, strict=False)
                    ]
        done += count
    assert done == len(labels)


GOLDEN = (
    "0200000039000000789c63666060606400114ccc2cac6cec1c9c5cdc3cbc7cfc0"
    "28242c222a262e2129252d232b272f20cac0cbfd81963206a1b18eb0048600458"
)


def test_a_frame_of_an_earlier_version_is_read() -> None:
    """Stored bytes: two records of 4 x 2 grey values, blocks of 2 by 2, sorted."""
    count, length = struct.unpack("<II", bytes.fromhex(GOLDEN)[:8])
    frame = bytes.fromhex(GOLDEN)[8:]
    assert (count, length) == (2, len(frame))
    blocks_of_two = SimpleNamespace(scheme=SimpleNamespace(block_size=2), image_shape=(4, 2, 1))
    chunk = packed._unpacked(count, frame, blocks_of_two)  # type: ignore[arg-type]
    assert chunk.label.tolist() == [3, 1]
    assert chunk.id.tobytes() == bytes(range(32))
    values = [[0, 5, 5, 255, 7, 8, 100, 100], [1, 1, 1, 1, 0, 128, 129, 255]]
    assert chunk.image.reshape(2, -1).tolist() == values
    again = packed._packed(chunk, blocks_of_two)  # type: ignore[arg-type]
    assert zlib.decompress(again[8:]) == zlib.decompress(frame)  # deflated by whatever zlib there is


def test_sorted_blocks_of_photographs_take_an_eighth(tmp_path: Path) -> None:
    """Two photographs, cut to six pictures of 224 px; blocks of 16."""
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    images = np.stack([one[96:320, left : left + 224] for one in photographs for left in (0, 200, 416)])
    labels = np.zeros(len(images), np.int32)
    client.encrypt(images, labels, schemes.sorted_blocks(16), client="a", out=tmp_path / "a.dkds")
    convert_data_set(tmp_path / "a.dkds", "packed", tmp_path / "there")
    assert (tmp_path / "there/records.dkpack").stat().st_size < 0.12 * images.nbytes


def test_damages_are_noticed(make: Make, tmp_path: Path) -> None:
    export = tmp_path / "there"
    convert_data_set(make(), "packed", export)
    file = export / "records.dkpack"
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(whole)
        position = rng.integers(len(data))
        kind = rng.integers(3)
        if kind == 0:
            data[position] ^= 1 << rng.integers(8)
        elif kind == 1:
            del data[position:]
        else:
            data[position:position] = rng.bytes(5)
        file.write_bytes(data)
        assert str(export) in refused(export, tmp_path / "back.dkds") or "records" in refused(
            export, tmp_path / "b.dkds"
        )
    file.unlink()
    assert "is missing: copy it again" in refused(export, tmp_path / "back.dkds")


@pytest.mark.parametrize(
    ("count", "data", "said"),
    [
        (1, zlib.compress(bytes(1 << 24)), "is cut short or damaged"),  # more bytes than a frame of one record can have
        (1, zlib.compress(bytes(1 << 20)), "a frame of 1 records does not hold exactly these"),
        (1, zlib.compress(bytes(RECORD - 1)), "a frame of 1 records does not hold exactly these"),
        (1, zlib.compress(bytes(RECORD)) + b"x", "a frame goes on after its end"),
        (33, zlib.compress(bytes(33 * RECORD)), "is cut short or damaged"),
        (0, zlib.compress(b""), "is cut short or damaged"),
    ],
)
def test_no_frame_unpacks_to_more_than_its_records(
    count: int, data: bytes, said: str, make: Make, tmp_path: Path
) -> None:
    export = tmp_path / "there"
    convert_data_set(make(), "packed", export)
    (export / "records.dkpack").write_bytes(struct.pack("<II", count, len(data)) + data)
    assert said in refused(export, tmp_path / "back.dkds")
