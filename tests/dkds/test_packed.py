"""Packed shards: their bytes, how small they are, and that no damage and no bomb passes."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from small_data_sets import edit_manifest, flip, write_small

from dkjax import client, schemes
from dkjax.cipher.array_blocks import to_blocks
from dkjax.dkds import layout, open_data_set, packed
from dkjax.dkds.convert import convert_data_set
from dkjax.dkds.packed import open_packed, records_of_file
from dkjax.dkds.verify import require_whole, verify
from dkjax.errors import DamagedDataSetError, DataError
from dkjax.formats.frames import DIFFERENCES, MAGIC, UNARY, sizes_of

SHAPE = (8, 12, 3)
DIFFERENCE_BYTES, UNARY_BYTES = 8 * 12 * 3, 6 * 38
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (75, *SHAPE), np.uint8)
LABELS = (np.arange(75) % 3).astype(np.int32)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of sorted blocks, 75 records in shards of 40 and 35, and the same packed."""
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "default_shard_images", lambda shape: 40)
        client.encrypt(IMAGES, LABELS, schemes.sorted_blocks(4), client="a", out=folder / "raw.dkds")
    convert_data_set(folder / "raw.dkds", "packed", folder / "a.dkds")
    return folder


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written / "a.dkds", tmp_path / "a.dkds")
    return tmp_path / "a.dkds"


def ascending(bits: str) -> list[int]:
    """A block's values from its bits, one by one."""
    values, value = [], 0
    for bit in bits:
        if bit == "1":
            values.append(value)
        else:
            value += 1
    return values


def test_frames_are_as_described(written: Path) -> None:
    """Read by `struct` and `zlib` alone."""
    data_set = open_data_set(written / "raw.dkds")
    assert sorted(file.name for file in (written / "a.dkds").iterdir()) == [
        "COMMIT",
        "manifest.json",
        "shard-00000.dkpack",
        "shard-00001.dkpack",
    ]
    for number, shard in enumerate(data_set.shards):
        file = (written / f"a.dkds/shard-{number:05d}.dkpack").read_bytes()
        assert file[:8] == b"dkpack1\n"
        at, done = 8, 0
        while at < len(file):
            count, coding, length = struct.unpack("<HHI", file[at : at + 8])
            assert (coding, count <= 32) == (1, True)
            frame = zlib.decompress(file[at + 8 : at + 8 + length])
            rows = slice(done, done + count)
            assert len(frame) == count * (20 + UNARY_BYTES)
            assert np.frombuffer(frame, "<i4", count).tolist() == shard.label[rows].tolist()
            assert frame[4 * count : 20 * count] == shard.id[rows].tobytes()
            blocks = [frame[i : i + 38] for i in range(20 * count, len(frame), 38)]
            found = [ascending("".join(f"{byte:08b}"[::-1] for byte in block)) for block in blocks]
            assert found == to_blocks(shard.image[rows], 4).reshape(-1, 48).tolist()
            at, done = at + 8 + length, done + count
        assert done == len(shard.label)


FRAMES = {
    UNARY: (
        "020001004700000078016366606060640002462666165636760e4e2e6e1e5e3e7e014121611151317109492969195939f983"
        "0cf8014b0313031c1c60c002e4180800460654c0c5800a5800f99a0429"
    ),
    DIFFERENCES: (
        "020000003c000000789c63666060606400114ccc2cac6cec1c9c5cdc3cbc7cfc028242c222a262e2129252d232b272f2290c"
        "4bfeff6763f8fdbfe97f03483d007a9c08fd"
    ),
}


def test_frames_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """Stored bytes, deflated by whatever zlib there was: two records of 4 x 2 grey values, blocks of 2 by 2."""
    values = np.array([[0, 5, 5, 255, 7, 8, 100, 100], [1, 1, 1, 1, 0, 128, 129, 255]], np.uint8)
    for coding, frame in FRAMES.items():
        data = bytes.fromhex(frame)
        count, told, length = struct.unpack("<HHI", data[:8])
        assert (count, told, length) == (2, coding, len(data) - 8)
        (tmp_path / "f").write_bytes(MAGIC + data)
        shape = (4, 2, 1)
        records, ids = packed.read_packed_shard(tmp_path / "f", 0, shape, 2, 2)
        assert records["label"].tolist() == [3, 1]
        assert ids.tobytes() == bytes(range(32))
        expected = values if coding == UNARY else values[:, ::-1]
        assert records["image"].reshape(2, -1).tolist() == expected.tolist()
        packed.write_packed_shard(tmp_path, 0, records, ids, 2)
        again = (tmp_path / "shard-00000.dkpack").read_bytes()[8:]
        assert zlib.decompress(again[8:]) == zlib.decompress(data[8:])


def test_sorted_blocks_of_photographs_take_a_tenth(tmp_path: Path) -> None:
    """Two photographs, cut to six pictures of 224 px; blocks of 16."""
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    images = np.stack([one[96:320, left : left + 224] for one in photographs for left in (0, 200, 416)])
    scheme = schemes.sorted_blocks(16)
    sent = client.encrypt(images, np.zeros(6, int), scheme, client="a", out=tmp_path / "a.dkds", packed=True)
    assert sent.bytes < 0.1 * images.nbytes


def test_a_look_without_unpacking(written: Path) -> None:
    raw, small = open_data_set(written / "raw.dkds"), open_packed(written / "a.dkds")
    assert (len(small), small.class_names, small.manifest) == (75, ("0", "1", "2"), raw.manifest)
    assert small.labels.tolist() == raw.labels.tolist()
    for indices in ([74, 0, 3, 39, 40, 31, 32], slice(5), np.array([], np.int64)):
        expected, found = raw[indices], small[indices]
        assert found["label"].tolist() == expected["label"].tolist()
        np.testing.assert_array_equal(found["image"], expected["image"])
    assert small.bytes == sum(file.stat().st_size for file in (written / "a.dkds").glob("shard-*"))
    counts = [records_of_file(file, SHAPE, 4) for file in sorted(written.glob("*/shard-*"))]
    assert counts == [40, 35] * 2


def test_packed_is_told_and_unpacks_to_the_same_bytes(written: Path, tmp_path: Path) -> None:
    path = written / "a.dkds"
    said = f"{path} is packed, as it is handed over: dkjax convert {path} --to dkds --out NAME.dkds unpacks it"
    for use in (lambda: open_data_set(path), lambda: require_whole([path])):
        with pytest.raises(DamagedDataSetError) as caught:
            use()
        assert (caught.value.kind, str(caught.value)) == ("packed", said)
    calls: list[tuple[int, int]] = []
    assert verify(path, lambda done, total: calls.append((done, total))).whole
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 0
    convert_data_set(path, "dkds", tmp_path / "b.dkds")
    for file in (written / "raw.dkds").iterdir():
        assert (tmp_path / "b.dkds" / file.name).read_bytes() == file.read_bytes()


def test_other_schemes_are_packed_as_differences(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    convert_data_set(tmp_path / "a.dkds", "packed", tmp_path / "b.dkds")
    assert {frame.coding for _, frame in open_packed(tmp_path / "b.dkds").frames} == {DIFFERENCES}
    convert_data_set(tmp_path / "b.dkds", "dkds", tmp_path / "c.dkds")
    for file in (tmp_path / "a.dkds").iterdir():
        assert (tmp_path / "c.dkds" / file.name).read_bytes() == file.read_bytes()


def test_damages_are_noticed(path: Path) -> None:
    file = path / "shard-00001.dkpack"
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
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
        (problem,) = verify(path).problems
        assert (problem.kind, problem.shard) == ("packed-shard", 1)
        assert str(problem).startswith(f"{file} is damaged (")
        assert str(problem).endswith("): copy it again")
        assert "\n" not in str(problem)
    with pytest.raises(DataError, match="is damaged"):
        convert_data_set(path, "dkds", path.with_name("back.dkds"))
    assert not path.with_name("back.dkds").exists()
    file.unlink()
    for refuse in (lambda: open_packed(path), lambda: convert_data_set(path, "png", path.with_name("png"))):
        with pytest.raises(DamagedDataSetError, match=r"shard-00001\.dkpack is missing: copy it again"):
            refuse()
    assert [problem.kind for problem in verify(path).problems] == ["shard-missing"]


def test_all_problems_are_told(path: Path, written: Path) -> None:
    flip(path / "shard-00000.dkpack", 500)
    shutil.copyfile(path / "shard-00000.dkpack", path / "shard-00001.dkpack")
    shutil.copyfile(written / "raw.dkds/shard-00000.safetensors", path / "shard-00000.safetensors")
    found = [(problem.kind, problem.shard) for problem in verify(path).problems]
    assert found == [("stranger", None), ("packed-shard", 0), ("packed-shard", 1)]
    (path / "COMMIT").unlink()
    assert [problem.kind for problem in verify(path).problems] == ["uncommitted"]


def test_labels_out_of_range(path: Path) -> None:
    edit_manifest(path, ("class_names",), ["a", "b"], commit=True)
    assert {problem.kind for problem in verify(path).problems} == {"label"}
    with pytest.raises(DamagedDataSetError, match=r"a label lies outside 0\.\.1"):
        open_packed(path).labels  # noqa: B018


def write_frame(path: Path, count: int, coding: int, data: bytes) -> Path:
    path.write_bytes(MAGIC + struct.pack("<HHI", count, coding, len(data)) + data)
    return path


RECORD = 20 + DIFFERENCE_BYTES


@pytest.mark.parametrize(
    ("count", "coding", "data", "said"),
    [
        (1, 0, zlib.compress(bytes(1 << 24)), "longer than its records can be"),
        (1, 0, zlib.compress(bytes(1 << 20)), "does not hold exactly its records"),
        (1, 0, zlib.compress(bytes(RECORD - 1)), "does not hold exactly its records"),
        (1, 0, zlib.compress(bytes(RECORD)) + b"x", "goes on after its end"),
        (33, 0, zlib.compress(bytes(33 * RECORD)), "is cut short, or none"),
        (0, 0, zlib.compress(b""), "is cut short, or none"),
        (1, 2, zlib.compress(bytes(RECORD)), "is cut short, or none"),
        (3, 0, zlib.compress(bytes(3 * RECORD)), "it has 3 records, at most 2 were expected"),
        (1, 1, zlib.compress(bytes(20 + UNARY_BYTES)), "a block has more or fewer values"),
        (1, 1, zlib.compress(bytes(20) + b"\xff" * UNARY_BYTES), "a block has more or fewer values"),
        (1, 1, zlib.compress(bytes(20) + (bytes(32) + b"\xff" * 6) * 6), "a value is above 255"),
    ],
)
def test_no_frame_unpacks_to_more_than_its_records(
    count: int, coding: int, data: bytes, said: str, tmp_path: Path
) -> None:
    file = write_frame(tmp_path / "shard-00000.dkpack", count, coding, data)
    with pytest.raises(DamagedDataSetError, match=said) as caught:
        packed.read_packed_shard(file, 0, SHAPE, 4, 2)
    assert caught.value.kind == "packed-shard"


@pytest.mark.parametrize("side", [1, 3, 64])
def test_blocks_of_any_length(side: int) -> None:
    """All steps from 0 to 255 in one place, and a count of values that no byte holds."""
    blocks = np.full((3, side * side), 255, np.uint8)
    blocks[1] = 0
    blocks[2, : side * side // 2] = 0
    coding, coded = packed._coded(blocks.reshape(3, side, side, 1), side)
    assert coding == UNARY
    assert len(coded) == 3 * (sizes_of((side, side, 1), side).unary - 20)
    values = packed._decoded(coding, np.frombuffer(coded, np.uint8), 3, side * side)
    assert values.reshape(3, -1).tolist() == blocks.tolist()
