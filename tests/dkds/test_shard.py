"""A shard: written as safetensors reads it, and read with suspicion."""

import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from small_data_sets import SHAPE, describe, edit_manifest, flip, header_length, offset_of, shard_of, write_small

from dkjax.dkds import Manifest
from dkjax.dkds.data_set import read_manifest
from dkjax.dkds.growing_shard import write_shard
from dkjax.dkds.shard import damaged_records, entry_of, holds_shard_of, open_shard, record_crcs
from dkjax.errors import DamagedDataSetError

FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ID = "ab" * 16


def written(folder: Path, count: int = 5, number: int = 0) -> Manifest:
    """Write one shard; return a manifest of it alone."""
    random = np.random.default_rng(count)
    records = {"image": random.integers(0, 256, (count, *SHAPE), np.uint8), "label": np.arange(count, dtype=np.int32)}
    entry = write_shard(folder, number, records, random.integers(0, 256, (count, 16), np.uint8), ID)
    # Not checked: a manifest has at least one record, and its shards begin with 0.
    return Manifest.model_construct(**vars(describe()), id=ID, shards=[entry])


def as_size(manifest: Manifest, size: int) -> Manifest:
    entry = manifest.shards[0].model_copy(update={"bytes": size})
    return manifest.model_copy(update={"shards": [entry]})


def refusal(folder: Path, manifest: Manifest) -> DamagedDataSetError:
    with pytest.raises(DamagedDataSetError) as refused:
        open_shard(folder, 0, manifest)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 600
    assert refused.value.shard == 0
    return refused.value


@pytest.mark.parametrize("count", [0, 1, 5])
def test_what_is_written_is_read(tmp_path: Path, count: int) -> None:
    manifest = written(tmp_path, count)
    shard = open_shard(tmp_path, 0, manifest)
    by_safetensors = load_file(shard_of(tmp_path, 0))
    assert by_safetensors.keys() == {"image", "label", "id", "crc32"}
    for name, array in by_safetensors.items():
        np.testing.assert_array_equal(getattr(shard, name), array)
        assert getattr(shard, name).dtype == array.dtype
    assert entry_of(shard_of(tmp_path, 0), 0) == manifest.shards[0]
    assert not damaged_records(shard).size


def test_nothing_is_read_before_it_is_used(tmp_path: Path) -> None:
    manifest = written(tmp_path, 100_000)
    tracemalloc.start()
    try:
        shard = open_shard(tmp_path, 0, manifest)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="read-only"):
        shard.image[0] = 0


def test_checksums() -> None:
    image = np.arange(2 * 48, dtype=np.uint8).reshape(2, *SHAPE)
    ids = np.arange(32, dtype=np.uint8).reshape(2, 16)
    expected = [zlib.crc32(bytes(range(48)) + (7).to_bytes(4, "little") + bytes(range(16)))]
    expected.append(zlib.crc32(bytes(range(48, 96)) + b"\xfe\xff\xff\xff" + bytes(range(16, 32))))
    crcs = record_crcs(image, np.array([7, -2], np.int32), ids)
    assert crcs.dtype == np.uint32
    assert crcs.tolist() == expected


@pytest.mark.parametrize("tensor", ["image", "label", "id", "crc32"])
def test_damaged_records(tmp_path: Path, tensor: str) -> None:
    manifest = written(tmp_path)
    file = shard_of(tmp_path, 0)
    width = {"image": 48, "label": 4, "id": 16, "crc32": 4}[tensor]
    for record in (1, 4):
        flip(file, offset_of(file, tensor) + record * width, 7)
    assert damaged_records(open_shard(tmp_path, 0, manifest)).tolist() == [1, 4]


def test_a_resumed_writer_believes_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    file = shard_of(tmp_path, 0)
    assert holds_shard_of(file, 0, ID, SHAPE, 5)
    assert holds_shard_of(file, 0, ID, SHAPE, 9)
    assert not holds_shard_of(file, 0, ID, SHAPE, 4)
    assert not holds_shard_of(file, 1, ID, SHAPE, 5)
    assert not holds_shard_of(file, 0, "cd" * 16, SHAPE, 5)
    assert not holds_shard_of(file, 0, ID, (4, 12, 1), 5)
    assert not holds_shard_of(tmp_path / "absent", 0, ID, SHAPE, 5)
    assert not holds_shard_of(tmp_path, 0, ID, SHAPE, 5)
    flip(file, offset_of(file, "image") + 100)
    assert not holds_shard_of(file, 0, ID, SHAPE, 5)


def with_header(folder: Path, header: Any, raw: bytes | None = None) -> Manifest:
    """Give a written shard another header, and the manifest its new size."""
    manifest = written(folder)
    file = shard_of(folder, 0)
    text = json.dumps(header).encode() if raw is None else raw
    data = len(text).to_bytes(8, "little") + text + file.read_bytes()[header_length(file) :]
    file.write_bytes(data)
    return as_size(manifest, len(data))


def header_of(folder: Path) -> dict[str, Any]:
    written(folder)
    file = shard_of(folder, 0)
    return json.loads(file.read_bytes()[8 : header_length(file)])


def test_a_header_that_is_right(tmp_path: Path) -> None:
    manifest = with_header(tmp_path, header_of(tmp_path))
    shard = open_shard(tmp_path, 0, manifest)
    assert not damaged_records(shard).size


@pytest.mark.parametrize("padding", range(8))
def test_alignment_does_not_matter(tmp_path: Path, padding: int) -> None:
    raw = json.dumps(header_of(tmp_path)).encode() + b" " * padding
    assert not damaged_records(open_shard(tmp_path, 0, with_header(tmp_path, None, raw))).size


CHANGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "a tensor more": (("more",), {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "a tensor that is none": (("image",), 3),
    "a tensor that is a list": (("image",), ["dtype", "shape", "data_offsets"]),
    "a tensor with more to say": (("image", "more"), 1),
    "another dtype": (("image", "dtype"), "I8"),
    "a dtype of two lines": (("image", "dtype"), "U8\nand more"),
    "a dtype that is a list": (("image", "dtype"), ["U8"] * 1000),
    "no shape": (("label", "shape"), []),
    "a shape by name": (("label", "shape"), {}),
    "a shape of text": (("label", "shape"), "5"),
    "a negative shape": (("image", "shape"), [-5, -4, 4, 3]),
    "a huge shape": (("image", "shape"), [10**300, 10**300, 10**300]),
    "a shape of truths": (("label", "shape"), [True]),
    "a shape with a point": (("label", "shape"), [5.0]),
    "another shape of that size": (("image", "shape"), [5, 3, 4, 4]),
    "a long shape": (("image", "shape"), [5, 4, 4, 3] + [1] * 1000),
    "offsets beyond the end": (("image", "data_offsets"), [10**15, 10**15 + 240]),
    "negative offsets": (("image", "data_offsets"), [-240, 0]),
    "offsets turned round": (("image", "data_offsets"), [240, 0]),
    "one offset": (("image", "data_offsets"), [0]),
    "three offsets": (("image", "data_offsets"), [0, 1, 2]),
    "offsets by name": (("image", "data_offsets"), {"begin": 0, "end": 1}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_header_that_is_wrong(tmp_path: Path, name: str) -> None:
    header = header_of(tmp_path)
    place, value = CHANGES[name]
    node = header
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    assert refusal(tmp_path, with_header(tmp_path, header)).kind == "shard-header"


@pytest.mark.parametrize(
    "metadata",
    [None, {}, [], "x", {"dkds": 3}, {"dkds": f"{ID}/1"}, {"dkds": f"{'cd' * 16}/0"}, {"dkds": f"{ID}/0", "more": ""}],
)
def test_a_shard_of_another_place(tmp_path: Path, metadata: Any) -> None:
    header = header_of(tmp_path) | {"__metadata__": metadata}
    assert refusal(tmp_path, with_header(tmp_path, header)).kind == "shard-foreign"


def test_tensors_that_overlap_or_leave_gaps(tmp_path: Path) -> None:
    header = header_of(tmp_path)
    header["id"]["data_offsets"] = header["id"]["data_offsets"][0] - 8, header["id"]["data_offsets"][1] - 8
    assert "do not fill the file" in str(refusal(tmp_path, with_header(tmp_path, header)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"[" * 60_000,
        b"\xff\xfe{}",
        b" " * (65 << 10),
        b'{"image": 1, "image": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'"' + b"x" * 60_000 + b'"',
    ],
    ids=range(10),
)
def test_what_is_no_header(tmp_path: Path, raw: bytes) -> None:
    assert refusal(tmp_path, with_header(tmp_path, None, raw)).kind == "shard-header"


NUMBERS = st.integers() | st.integers(0, 400) | st.floats() | st.booleans() | st.none()
TENSORS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "I32", "U32", "F64", "\n", 3, None]),
        "shape": st.lists(NUMBERS, max_size=5) | st.sampled_from([[5], [5, 4, 4, 3], [5, 16], [0, 4, 4, 3], "5", {}]),
        "data_offsets": st.lists(NUMBERS, max_size=3) | st.sampled_from([[0, 0], [0, 20], [20, 260], [260, 340]]),
    }
)
HEADERS = st.dictionaries(
    st.sampled_from(["image", "label", "id", "crc32", "__metadata__", "x"]), TENSORS | NUMBERS, max_size=6
)


@FUZZ
@given(st.binary(max_size=400) | HEADERS.map(lambda header: json.dumps(header).encode()), st.binary(max_size=8))
def test_any_header(tmp_path: Path, text: bytes, length: bytes) -> None:
    manifest = with_header(tmp_path, None, text)
    file = shard_of(tmp_path, 0)
    file.write_bytes(length + file.read_bytes()[len(length) :])
    assert_inside(tmp_path, manifest)


@FUZZ
@given(st.sampled_from(["image", "label", "id", "crc32"]), TENSORS)
def test_any_tensor_in_a_header_that_is_right(tmp_path: Path, name: str, tensor: dict[str, Any]) -> None:
    header = header_of(tmp_path)
    header[name] |= tensor
    assert_inside(tmp_path, with_header(tmp_path, header))


@FUZZ
@given(st.integers(0, 600), st.integers(0, 255))
def test_any_byte_changed(tmp_path: Path, place: int, value: int) -> None:
    manifest = written(tmp_path)
    data = bytearray(shard_of(tmp_path, 0).read_bytes())
    data[place % len(data)] = value
    shard_of(tmp_path, 0).write_bytes(data)
    assert_inside(tmp_path, manifest)


def assert_inside(folder: Path, manifest: Manifest) -> None:
    """Opening gives an error, or arrays every byte of which can be read."""
    try:
        shard = open_shard(folder, 0, manifest)
    except DamagedDataSetError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 600
    else:
        assert shard.image.shape == (5, *SHAPE)
        damaged_records(shard)


def test_of_a_whole_data_set(tmp_path: Path) -> None:
    """What the manifest says of a shard counts, also where the file would do."""
    path = tmp_path / "a.dkds"
    write_small(path)
    edit_manifest(path, ("image", "shape"), [4, 2, 6], commit=True)
    with pytest.raises(DamagedDataSetError, match=r"image has shape \[10, 4, 4, 3\], expected \[10, 4, 2, 6\]"):
        open_shard(path, 0, read_manifest(path))
