"""Files of safetensors, read with their own package."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dkjax.errors import DataError
from dkjax.models.pretrained.checkpoint import Arrays


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
