"""Watching every key that is made, and looking for them where no key may be."""

import contextlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dkjax import keys


@contextlib.contextmanager
def watched_keys() -> Iterator[list[np.ndarray]]:
    """Collect the words of every root, round key, client key and image key that is made or used meanwhile."""
    used: list[np.ndarray] = []

    def noted(function: Any) -> Any:
        def noting(key: np.ndarray, *arguments: Any) -> None:
            used.append(key.copy().reshape(-1, 8))
            function(key, *arguments)
            used.append(arguments[-1].copy().reshape(-1, 8))

        return noting

    with pytest.MonkeyPatch.context() as patch:
        for name in ("split", "fold_in"):
            patch.setattr(keys, name, noted(getattr(keys, name)))
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
