"""Writing safetensors files so that the same arrays give the same bytes, without a copy of the arrays in memory.

The format is at github.com/huggingface/safetensors. Its package makes two copies of all arrays before a byte is
written, and keeps metadata in a hash map, whose order changes from run to run; hence these few lines.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_ALIGNMENT = 8
_NAMES = {"u1": "U8", "i4": "I32", "u4": "U32", "f4": "F32"}


def write_safetensors(
    write: Callable[[Any], Any], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays as a safetensors file.

    Args:
        write: takes the file's bytes piece by piece, as `write` of a binary file does.
        arrays: by name, in the order in which they come; uint8, int32, uint32 or float32, wider ones first.
        metadata: texts by name, written in the order of their names.

    Guarantees:
        - the safetensors package reads what was written (`test_safetensors.py::test_the_package_reads_it`).
    """
    write(beginning({name: (array.shape, array.dtype) for name, array in arrays.items()}, metadata))
    for array in arrays.values():
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        write(little_endian.reshape(-1).view(np.uint8).data)


def beginning(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype]], metadata: Mapping[str, str]) -> bytes:
    """Return what precedes the bytes of the arrays in a file, of which the shapes and dtypes are known by name."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name, (shape, dtype) in arrays.items():
        end = offset + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[f"{dtype.kind}{dtype.itemsize}"], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
