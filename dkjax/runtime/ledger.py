"""A ledger of what commands wrote, sent and received: an event a line, in one form for all of them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

LEDGER = "ledger.jsonl"

Kind = Literal["written", "sent", "received"]


def entry(
    event: Kind | str, client: str, num_bytes: int, seconds: float, cpu_seconds: float, **more: int | str
) -> dict[str, Any]:
    """Return an event, which happened now.

    Args:
        event: what happened to the bytes, as whoever writes the ledger sees it.
        client: whose bytes; `server` for what is nobody's alone.
        num_bytes: how many.
        seconds: what it took to make, send or fetch them, on the wall clock.
        cpu_seconds: likewise, of the threads that did.
        **more: such as the round.
    """
    took = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}
    return {"time": round(time.time(), 3), "event": event, "client": client, **more, "bytes": num_bytes, **took}


def ledger_beside(path: Path) -> "Ledger":
    """Open `NAME.ledger.jsonl` beside what a command writes."""
    return Ledger(path.with_suffix(f".{LEDGER}"))


def files_in(folder: Path) -> set[tuple[str, int, int]]:
    """Path, time of the last change and size of the files below a folder; what changes is written again."""
    found = set()
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # removed by a thread that tidies up
            if path.is_file():
                state = path.stat()
                found.add((path.relative_to(folder).as_posix(), state.st_mtime_ns, state.st_size))
    return found


def whole_lines(path: Path) -> list[bytes]:
    """Read a file of lines, of which there may be none; half a line, as a killed process may leave it, is cut off."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        os.truncate(path, len(whole))  # what is written next is to be a line of its own
    return whole.splitlines()


class Ledger:
    """Events as JSON objects, one a line, on the disk as soon as they are written.

    Args:
        path: the file; None to keep no ledger.
        keep: which events of the file that is there stay, for a run that goes on from some point; all if None.
    """

    def __init__(self, path: Path | None, keep: Callable[[dict[str, Any]], bool] | None = None) -> None:
        """Open or make the file."""
        self._path = path
        if path is not None:
            whole_lines(path)
        if path is not None and keep is not None and path.exists():
            kept = [event for event in read_ledger(path) if keep(event)]
            path.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")

    def write(
        self,
        event: Kind,
        client: str,
        num_bytes: int,
        seconds: float,
        cpu_seconds: float,
        **more: int | str,
    ) -> None:
        """Write what `entry` returns."""
        if self._path is None:
            return
        line = entry(event, client, num_bytes, seconds, cpu_seconds, **more)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Read all events; half a line, as a killed process may leave it, is none."""
    data = path.read_bytes()
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


class Took:
    """Seconds on the wall clock and of CPU, set when the block that is timed ends."""

    seconds = cpu_seconds = 0.0


@contextmanager
def timed() -> Iterator[Took]:
    """Time a block: wall clock, and CPU time of all threads of the process."""
    took = Took()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield took
    finally:
        took.seconds, took.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def recorded(folder: Path, ledger: Ledger, client: str) -> Iterator[None]:
    """Enter into a ledger what a block has written below a folder, also where it is stopped."""
    before = files_in(folder)
    try:
        with timed() as took:
            yield
    finally:
        if new := files_in(folder) - before:
            ledger.write("written", client, sum(size for _, _, size in new), took.seconds, took.cpu_seconds)
