"""CPU time and memory of a process with everything that it started, from /proc; Linux alone."""

import contextlib
import os
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")


class ProcessTree:
    """A process and its descendants, the dead ones included that were seen alive.

    Args:
        root: its id.
    """

    def __init__(self, root: int) -> None:
        """Begin with the root alone."""
        self._members, self._cpu = {root}, dict[int, float]()

    def cpu_seconds(self) -> float:
        """CPU seconds of user and system so far; of a process that has ended, those when it was last seen."""
        parents: dict[int, int] = {}
        cpu: dict[int, float] = {}
        for folder in _PROC.glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # The name, in parentheses, may contain spaces.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
                cpu[int(folder.name)] = (int(fields[11]) + int(fields[12])) / _TICK
        grown = True
        while grown:
            found = {process for process, parent in parents.items() if parent in self._members} - self._members
            self._members |= found
            grown = bool(found)
        self._cpu |= {process: seconds for process, seconds in cpu.items() if process in self._members}
        return sum(self._cpu.values())

    def memory_bytes(self) -> int:
        """Proportional set size now: a page that processes share counts once among them."""
        self.cpu_seconds()
        return sum(_kilobytes(process, "smaps_rollup", "Pss:") for process in self._members) * 1024

    @property
    def processes(self) -> int:
        """How many have been seen."""
        return len(self._members)


def peak_bytes(process: int) -> int:
    """The largest resident set of one process so far."""
    return _kilobytes(process, "status", "VmHWM:") * 1024


def _kilobytes(process: int, file: str, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process) / file).read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0
