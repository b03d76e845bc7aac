"""A ledger of what clients wrote and sent: an event a line, in the form of the ledger of an upload."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

LEDGER = "ledger.jsonl"


class Ledger:
    """Events as JSON objects, one a line, on the disk as soon as they are written.

    Args:
        path: the file; None to keep no ledger.
        keep: which events of the file that is there stay, for a run that goes on from some point; all if None.
    """

    def __init__(self, path: Path | None, keep: Callable[[dict[str, Any]], bool] | None = None) -> None:
        """Open or make the file."""
        self._path = path
        if path is not None and keep is not None and path.exists():
            kept = [event for event in read_ledger(path) if keep(event)]
            path.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")

    def write(
        self,
        event: Literal["written", "sent", "received"],
        client: str,
        num_bytes: int,
        seconds: float,
        cpu_seconds: float,
        **more: int | str,
    ) -> None:
        """Write an event.

        Args:
            event: what happened to the bytes, as the client sees it.
            client: its name.
            num_bytes: how many.
            seconds: what it took to make them, on the wall clock.
            cpu_seconds: of all threads of the process.
            **more: such as the round.
        """
        if self._path is None:
            return
        took = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}
        line = {"time": round(time.time(), 3), "event": event, "client": client, **more, "bytes": num_bytes, **took}
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
