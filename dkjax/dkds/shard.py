"""One shard: records in a safetensors file, read where it lies; `growing_shard.py` writes it.

It is read through a memory map, which the safetensors library does not offer, so the few lines that read its header are
here; they accept exactly what a shard must be and nothing else.
"""

import dataclasses
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import layout
from dkjax.dkds.manifest import Manifest, ShardEntry
from dkjax.errors import DamagedDataSetError
from dkjax.formats import strict_json
from dkjax.runtime.files import sha256_of
from dkjax.runtime.mapped_file import MappedFile, map_file

_TENSORS = {"image": ("U8", "u1"), "label": ("I32", "<i4"), "id": ("U8", "u1"), "crc32": ("U32", "<u4")}
"""The dtype of each, as safetensors calls it and as NumPy does."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """The arrays of a shard, mapped from its file: nothing is read before it is used.

    Attributes:
        image: uint8[n, H, W, C].
        label: int32[n].
        id: uint8[n, 16], random, one for each record.
        crc32: uint32[n], of each record as `record_crcs` computes it.
        file: what the file was like when it was mapped.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.int32]
    id: NDArray[np.uint8]
    crc32: NDArray[np.uint32]
    file: MappedFile


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


def records_in(path: Path, number: int) -> int:
    """Return how many records a shard holds by its header.

    Args:
        path: its file.
        number: which shard, from 0.

    Raises:
        DamagedDataSetError: kind `shard-header`.
    """
    return int(_read_header(path, number)[0]["label"]["shape"][0])


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
    records = records_in(path, number)
    return ShardEntry(file=path.name, sha256=sha256_of(path), bytes=path.stat().st_size, records=records)


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
    # A link is followed, as some stores keep files behind links; a pipe would keep us waiting.
    if not path.is_file():
        raise DamagedDataSetError("shard-missing", f"{path} is missing: copy it again", shard=number)
    size = path.stat().st_size
    if size != entry.bytes:
        raise DamagedDataSetError(
            "shard-size", f"{path} has {size} bytes, not {entry.bytes}: copy it again", shard=number
        )
    header, first_byte = _read_header(path, number)
    if header.get("__metadata__") != metadata_of(manifest.id, number):
        raise DamagedDataSetError(
            "shard-foreign", f"{path} is a shard of another data set, or another shard of this one", shard=number
        )
    for name, shape in _shapes(entry.records, manifest.image_shape).items():
        if header[name]["shape"] != shape:
            problem = f"{name} has shape {header[name]['shape']}, expected {shape}"
            raise _bad_header(path, number, problem)
    return _mapped(path, number, header, first_byte)


def holds_shard_of(
    path: Path, number: int, data_set_id: str, image_shape: tuple[int, int, int], max_records: int
) -> bool:
    """Say whether a file is shard `number` of the data set with this id, whole, with at most so many records."""
    if not path.is_file():
        return False
    try:
        header, first_byte = _read_header(path, number)
    except DamagedDataSetError:
        return False
    count = header["label"]["shape"][0]
    if header.get("__metadata__") != metadata_of(data_set_id, number) or count > max_records:
        return False
    if any(header[name]["shape"] != shape for name, shape in _shapes(count, image_shape).items()):
        return False
    return not damaged_records(_mapped(path, number, header, first_byte)).size


def map_shard(path: Path, number: int) -> Shard:
    """Map a shard that this process has written or checked.

    Raises:
        DamagedDataSetError: kind `shard-header` or `shard-size`.
    """
    return _mapped(path, number, *_read_header(path, number))


def damaged_records(shard: Shard) -> NDArray[np.int64]:
    """Find the records of a shard whose bytes are not those that were written.

    Args:
        shard: the shard.

    Returns:
        int64[k], their positions within the shard, in order.
    """
    return np.flatnonzero(record_crcs(shard.image, shard.label, shard.id) != shard.crc32)


def _shapes(count: int, image_shape: tuple[int, int, int]) -> dict[str, list[int]]:
    return {"image": [count, *image_shape], "label": [count], "id": [count, layout.ID_BYTES], "crc32": [count]}


def _mapped(path: Path, number: int, header: dict[str, Any], first_byte: int) -> Shard:
    """Map the tensors of a header that was checked."""
    mapped, file = map_file(path)
    if file.size != first_byte + max(header[name]["data_offsets"][1] for name in _TENSORS):
        raise DamagedDataSetError("shard-size", f"{path} was written to meanwhile: copy it again", shard=number)

    def array(name: str) -> Any:
        begin, end = header[name]["data_offsets"]
        return mapped[first_byte + begin : first_byte + end].view(_TENSORS[name][1]).reshape(header[name]["shape"])

    return Shard(array("image"), array("label"), array("id"), array("crc32"), file)


def metadata_of(data_set_id: str, number: int) -> dict[str, str]:
    """Return the metadata of a shard's file: of two entries, safetensors would write either first."""
    return {"dkds": f"{data_set_id}/{number}"}


def _read_header(path: Path, number: int) -> tuple[dict[str, Any], int]:
    """Read a safetensors header that has our tensors in it, and where their bytes begin."""
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= layout.MAX_SHARD_HEADER_BYTES or 8 + length > file_bytes:
            raise _bad_header(path, number, f"a header of {length} bytes")
        text = file.read(length)
    try:
        header = strict_json.parse(text)
        if not isinstance(header, dict) or header.keys() - {"__metadata__"} != _TENSORS.keys():
            raise ValueError(f"its tensors are not {', '.join(_TENSORS)}")
        spans = [_checked_span(name, header[name]) for name in _TENSORS]
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_header(path, number, str(error)) from None
    edges = [edge for span in sorted(spans) for edge in span]
    if edges[0] != 0 or edges[-1] != file_bytes - 8 - length or edges[1:-1:2] != edges[2::2]:
        raise _bad_header(path, number, "tensors that do not fill the file")
    return header, 8 + length


def _checked_span(name: str, tensor: Any) -> tuple[int, int]:
    """Return where a tensor begins and ends, after checking that its dtype and shape agree with that."""
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} has not dtype, shape and data_offsets")
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and shape
    if not lists or not all(type(number) is int and number >= 0 for number in [*shape, *offsets]):
        raise ValueError(f"{name} has not a shape and two offsets")
    safetensors_dtype, numpy_dtype = _TENSORS[name]
    if tensor["dtype"] != safetensors_dtype:
        raise ValueError(f"{name} has dtype {tensor['dtype']!r}, expected {safetensors_dtype}")
    begin, end = offsets
    if end - begin != math.prod(shape) * np.dtype(numpy_dtype).itemsize:
        raise ValueError(f"{name} has {end - begin} bytes, which is not what its shape says")
    return begin, end


def _bad_header(path: Path, number: int, problem: str) -> DamagedDataSetError:
    text = f"{path} is no shard: {strict_json.one_line(problem)}"
    return DamagedDataSetError("shard-header", text, shard=number)
