"""Watching every key that is made, and looking for them where no key may be."""

import contextlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from dkjax import keys


@contextlib.contextmanager
def watched_keys() -> Iterator[list[np.ndarray]]:
    """Collect the words of every root, round key, client key and image key that is made or used meanwhile."""
    used: list[np.ndarray] = []

    def watch(function: Any) -> Any:
        def watched(*arguments: Any, **named: Any) -> Any:
            given = function(*arguments, **named)
            for key in jax.tree.leaves((arguments, given)):
                if isinstance(key, jax.Array) and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
                    used.append(np.array(jax.random.key_data(key)).reshape(-1, 8))
            return given

        return watched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_advance", watch(keys._advance))
        patch.setattr(keys, "_client_keys", watch(keys._client_keys))
        patch.setattr(keys.RoundKeys, "for_client", watch(keys.RoundKeys.for_client))
        yield used


def spellings(words: np.ndarray) -> list[bytes]:
    """How words could stand in a file: bytes of either order, hexadecimal of either order, decimal numbers."""
    numbers = [int(word) for word in words]
    little, big = struct.pack(f"<{len(numbers)}I", *numbers), struct.pack(f">{len(numbers)}I", *numbers)
    return [little, big, little.hex().encode(), big.hex().upper().encode(), str(numbers).encode()]


def found_keys(folder: Path, words: np.ndarray) -> list[str]:
    """Name the files below a folder that hold two neighbouring words of a key, or a single one as a decimal number."""
    pairs = words.astype("<u4").reshape(-1, 2)
    binary = np.unique(np.concatenate([pairs.view("<u8"), pairs.byteswap().view("<u8")]))
    text = {pair.tobytes().hex().encode() for order in (pairs, pairs.byteswap()) for pair in order}
    decimal = {str(word).encode() for word in words.ravel().tolist() if word > 10**6}
    names = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        values = [
            np.frombuffer(content, "<u8", (len(content) - start) // 8, start)
            for start in range(8)
            if len(content) >= start + 8
        ]
        runs = [run.lower() for run in re.findall(rb"[0-9a-fA-F]{16,}", content)]
        windows = {run[start : start + 16] for run in runs for start in range(len(run) - 15)}
        numbers = set(re.findall(rb"(?<![\d.])\d{7,10}(?![\d.])", content))
        if any(np.isin(binary, array).any() for array in values) or text & windows or decimal & numbers:
            names.append(path.name)
    return names
