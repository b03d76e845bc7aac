"""Looking for keys in the memory of another process, as somebody with a debugger or a crash dump would."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

_BITS = 20
_PIECE = 1 << 24


def found_in_memory(pid: int, words: np.ndarray) -> np.ndarray:
    """Count how often two neighbouring words of each key are found in what a process has in memory and may read.

    Args:
        pid: the process, which should be idle.
        words: uint32[n, W], keys.

    Returns:
        int64[n]: how often any two neighbouring words of a key were found one after the other.
    """
    pairs = np.stack([words[:, :-1], words[:, 1:]], axis=-1)  # [n, W-1, 2]
    firsts, owners = pairs[..., 0].reshape(-1), np.repeat(np.arange(len(words)), pairs.shape[1])
    wanted = np.ascontiguousarray(pairs.reshape(-1, 2)).view("<u8").reshape(-1)
    order = np.argsort(wanted)
    wanted, owners = wanted[order], owners[order]
    possible = np.zeros(1 << _BITS, bool)
    possible[firsts & ((1 << _BITS) - 1)] = True
    counts = np.zeros(len(words), np.int64)
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for begin, end in _resident(pid):
            for start in range(begin, end, _PIECE):
                try:
                    data = os.pread(descriptor, min(_PIECE + 4, end - start), start)
                except OSError:
                    continue
                memory = np.frombuffer(data, "<u4", len(data) // 4)
                at = np.flatnonzero(possible[memory[:-1] & ((1 << _BITS) - 1)])
                values = memory[at].astype(np.uint64) | memory[at + 1].astype(np.uint64) << np.uint64(32)
                place = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
                np.add.at(counts, owners[place[wanted[place] == values]], 1)
    finally:
        os.close(descriptor)
    return counts


def _resident(pid: int) -> list[tuple[int, int]]:
    """The address ranges of which something is in memory."""
    ranges: list[tuple[int, int]] = []
    begin = end = 0
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        head = line.split()
        if "-" in head[0] and not head[0].endswith(":"):
            begin, end = (int(part, 16) for part in head[0].split("-"))
            readable = "r" in head[1]
        elif head[0] == "Rss:" and readable and int(head[1]):
            ranges.append((begin, end))
    return ranges


class PausingProcess:
    """A Python program that prints `DONE` now and then, and waits for a line before it goes on.

    Args:
        program: the file, and its arguments.
    """

    def __init__(self, *program: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *map(str, program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"},
        )

    def wait(self) -> None:
        """Wait until it pauses."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("DONE"):
                return
        raise AssertionError(f"ended early: {self._process.communicate()[1][-2000:]}")

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def found(self, words: np.ndarray) -> np.ndarray:
        """As `found_in_memory`, while it pauses."""
        return found_in_memory(self._process.pid, words)

    def __enter__(self) -> "PausingProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
