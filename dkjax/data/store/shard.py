"""One shard: records in a safetensors file, written whole and read where it lies.

The file is written by the safetensors library. It is read through a memory map, which that library does not offer, so
the few lines that read its header are here; they accept exactly what a shard must be and nothing else.
"""

import dataclasses
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.data.source import Records
from dkjax.data.store import layout
from dkjax.data.store.manifest import Manifest, ShardEntry
from dkjax.errors import DamagedDataSetError
from dkjax.files import whole_file

_DTYPES = {"image": "U8", "label": "I32", "id": "U8", "crc32": "U32"}

_METADATA = "dkds"
"""The one entry of a shard's metadata: `ID/NUMBER`. Of two, safetensors would write either first."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """The arrays of a shard, mapped from its file: nothing is read before it is used.

    Attributes:
        image: uint8[n, H, W, C].
        label: int32[n].
        id: uint8[n, 16], random, one for each record.
        crc32: uint32[n], of each record as `record_crcs` computes it.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.int32]
    id: NDArray[np.uint8]
    crc32: NDArray[np.uint32]


def record_crcs(image: np.ndarray, label: np.ndarray, ids: np.ndarray) -> NDArray[np.uint32]:
    """Compute the checksum of each record.

    Args:
        image: uint8[n, H, W, C], contiguous.
        label: int32[n].
        ids: uint8[n, 16].

    Returns:
        uint32[n]: the CRC-32 (that of zlib and PNG) of the image's bytes, then the label's four, little-endian, then
        the id's.
    """
    tails = record_tails(label, ids)
    return np.array([zlib.crc32(tail, zlib.crc32(one)) for one, tail in zip(image, tails, strict=True)], np.uint32)


def record_tails(label: np.ndarray, ids: np.ndarray) -> NDArray[np.uint8]:
    """Return what a checksum of a record takes in after its image: uint8[n, 20], label (little-endian) and id."""
    return np.concatenate([label.astype("<i4").reshape(-1, 1).view(np.uint8), ids], axis=1)


def write_shard(folder: Path, number: int, records: Records, ids: NDArray[np.uint8], data_set_id: str) -> ShardEntry:
    """Write a shard, which appears whole or not at all.

    Args:
        folder: the data set's folder.
        number: which shard, from 0.
        records: encrypted images and labels.
        ids: uint8[n, 16].
        data_set_id: 32 hexadecimal digits.

    Returns:
        The shard's entry in the manifest.
    """
    from safetensors.numpy import save

    image = np.ascontiguousarray(records["image"])
    label = records["label"].astype(np.int32)
    crc32 = record_crcs(image, label, ids)
    tensors: dict[str, np.ndarray] = {"image": image, "label": label, "id": ids, "crc32": crc32}
    data = save(tensors, metadata={_METADATA: _place(data_set_id, number)})
    with whole_file(folder / layout.shard_name(number)) as unfinished:
        unfinished.write_bytes(data)
    return ShardEntry(
        file=layout.shard_name(number),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        records=len(label),
    )


def entry_of(path: Path, number: int) -> ShardEntry:
    """Describe a shard that was written before, by reading it.

    Args:
        path: its file.
        number: which shard, from 0.

    Returns:
        The shard's entry in the manifest.

    Raises:
        DamagedDataSetError: kind `shard-header`.
    """
    header, _ = _read_header(path, number)
    return ShardEntry(
        file=path.name,
        sha256=file_sha256(path),
        bytes=path.stat().st_size,
        records=header["label"]["shape"][0],
    )


def file_sha256(path: Path) -> str:
    """Hash a file in constant memory; 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_shard(folder: Path, number: int, manifest: Manifest) -> Shard:
    """Map a shard, after a check of everything but its contents.

    Args:
        folder: the data set's folder.
        number: which shard, from 0.
        manifest: of the data set.

    Returns:
        The shard's arrays, read-only.

    Raises:
        DamagedDataSetError: kind `shard-missing`, `shard-size`, `shard-header` or `shard-foreign`.

    Guarantees:
        - whatever bytes the file has, the arrays lie inside it, or there is an error
          (`test_shard.py::test_any_header`).
    """
    entry = manifest.shards[number]
    path = folder / entry.file
    try:
        size = path.stat().st_size
    except OSError:
        raise DamagedDataSetError("shard-missing", f"{path} is missing: copy it again", shard=number) from None
    if size != entry.bytes:
        raise DamagedDataSetError(
            "shard-size", f"{path} has {size} bytes, not {entry.bytes}: copy it again", shard=number
        )
    header, first_byte = _read_header(path, number)
    if _metadata(header) != _place(manifest.id, number):
        raise DamagedDataSetError(
            "shard-foreign", f"{path} is a shard of another data set, or another shard of this one", shard=number
        )
    n = entry.records
    shapes = {"image": [n, *manifest.image.shape], "label": [n], "id": [n, layout.ID_BYTES], "crc32": [n]}
    for name, shape in shapes.items():
        if header[name]["shape"] != shape:
            raise _bad_header(path, number, f"{name} has shape {header[name]['shape']}, expected {shape}")
    mapped = np.memmap(path, np.uint8, mode="r")

    def array(name: str, dtype: str) -> Any:
        begin, end = header[name]["data_offsets"]
        flat = mapped[first_byte + begin : first_byte + end]
        return np.asarray(flat).view(dtype).reshape(shapes[name])

    return Shard(array("image", "u1"), array("label", "<i4"), array("id", "u1"), array("crc32", "<u4"))


def holds_shard_of(path: Path, number: int, data_set_id: str, num_records: int) -> bool:
    """Say whether a file is shard `number` of the data set with this id, with at most so many records."""
    try:
        header, _ = _read_header(path, number)
    except DamagedDataSetError:
        return False
    return _metadata(header) == _place(data_set_id, number) and header["label"]["shape"][0] <= num_records


def _place(data_set_id: str, number: int) -> str:
    return f"{data_set_id}/{number}"


def _metadata(header: dict[str, Any]) -> Any:
    metadata = header.get("__metadata__")
    return metadata.get(_METADATA) if isinstance(metadata, dict) else None


def _read_header(path: Path, number: int) -> tuple[dict[str, Any], int]:
    """Read a safetensors header that has our tensors in it, and where their bytes begin."""
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= layout.MAX_SHARD_HEADER_BYTES or 8 + length > file_bytes:
            raise _bad_header(path, number, f"a header of {length} bytes")
        text = file.read(length)
    try:
        header = json.loads(text)
        tensors = {name: header[name] for name in _DTYPES}
        if set(header) - set(_DTYPES) - {"__metadata__"}:
            raise ValueError("tensors that a shard has not")
        spans = [_checked_span(name, tensor) for name, tensor in tensors.items()]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad_header(path, number, str(error) or type(error).__name__) from None
    edges = [edge for span in sorted(spans) for edge in span]
    if edges[0] != 0 or edges[-1] != file_bytes - 8 - length or edges[1:-1:2] != edges[2::2]:
        raise _bad_header(path, number, "tensors that do not fill the file")
    return header, 8 + length


def _checked_span(name: str, tensor: dict[str, Any]) -> tuple[int, int]:
    """Return where a tensor begins and ends, after checking that its dtype and shape agree with that."""
    begin, end = tensor["data_offsets"]
    numbers = [begin, end, *tensor["shape"]]
    if tensor["dtype"] != _DTYPES[name] or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"{name} of dtype {tensor['dtype']}")
    count = 1
    for side in tensor["shape"]:
        count *= side
    if end - begin != count * (1 if _DTYPES[name] == "U8" else 4):
        raise ValueError(f"{name} of {end - begin} bytes")
    return begin, end


def _bad_header(path: Path, number: int, problem: str) -> DamagedDataSetError:
    return DamagedDataSetError("shard-header", f"{path} is no shard: {problem}", shard=number)
