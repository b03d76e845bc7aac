"""Files of safetensors: read with their own package, written so that the same arrays give the same bytes.

The format, and what a reader has to check, is at github.com/huggingface/safetensors. The package keeps metadata in a
hash map, whose order changes from run to run, so the header is written here.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from dkjax.errors import DataError
from dkjax.models.pretrained.checkpoint import Arrays

_ALIGNMENT = 8


def read_safetensors(path: Path) -> tuple[Arrays, Mapping[str, str]]:
    """Read all arrays of a file, and its metadata.

    The package checks the header, whose length it bounds, against the file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except MemoryError:
        raise
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no safetensors file that can be read: {line[:200]}") from error


def write_safetensors(file: IO[bytes], arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Write float32 arrays in the order of their names, one at a time."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in sorted(arrays):
        end = offset + arrays[name].nbytes
        header[name] = {"dtype": "F32", "shape": arrays[name].shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    for name in sorted(arrays):
        file.write(np.ascontiguousarray(arrays[name], "<f4").data)
