"""Metrics of a training run, while it runs."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dkjax.errors import MissingPackageError
from dkjax.runtime.install import how_to_install


@dataclasses.dataclass(frozen=True)
class Progress:
    """A report on a training under way.

    Attributes:
        step: steps taken so far.
        total_steps: steps of the whole training.
        loss: mean loss over the steps since the last report.
        accuracy: mean accuracy on the training batches since the last report, 0 to 1; None in federated learning.
        learning_rate: at this step; None where the optimizer is the caller's.
        images_per_second: since the last report.
        input_wait: share of the time since then spent waiting for a batch, 0 to 1.
        model_flops_utilisation: operations of the network for that many images, over the peak of the devices in
            bfloat16; None where the peak is unknown, as on CPUs.
        device_memory_bytes: peak memory in use, the highest of this process's devices; None where they do not report
            it.
        host_memory_bytes: peak memory of this process.
    """

    step: int
    total_steps: int
    loss: float
    accuracy: float | None
    learning_rate: float | None
    images_per_second: float
    input_wait: float
    model_flops_utilisation: float | None
    device_memory_bytes: int | None
    host_memory_bytes: int


MEASURED = (
    "images_per_second",
    "input_wait",
    "model_flops_utilisation",
    "device_memory_bytes",
    "host_memory_bytes",
)
"""Measurements, which differ from run to run; a training that is repeated reports the same of all else."""


class MetricsLog:
    """Metrics as JSON lines, in a file that can be read during training.

    Args:
        path: the file; None to write nothing, for processes that are not the leader.
        keep_bytes: keep so many of a file that is there; the rest, of an unfinished run, is dropped.
        events: a folder for the same as TensorBoard's events; None for none.
        first_step: events of this and later steps, of an unfinished run, are dropped.

    Raises:
        MissingPackageError: events are requested, and tensorboardX is not installed.
    """

    def __init__(
        self, path: Path | None, keep_bytes: int = 0, *, events: Path | None = None, first_step: int = 0
    ) -> None:
        self._events = None if path is None or events is None else _event_writer(events, first_step)
        self._file = open(path or os.devnull, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (close() closes it)
        if path is not None:
            self._file.truncate(min(keep_bytes, self.num_bytes))

    @property
    def num_bytes(self) -> int:
        """Length of the log in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line.

        Args:
            step: number of steps taken.
            values: numbers, None, or numbers by name.
        """
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                for tag, number in _tagged(name, value):
                    self._events.add_scalar(tag, number, step)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tagged(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Name the numbers of a value as TensorBoard groups them."""
    if isinstance(value, Mapping):
        for key, number in value.items():
            yield from _tagged(f"{name}/{key}", number)
    elif value is not None:
        yield name, value


def _event_writer(folder: Path, first_step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise MissingPackageError(
            f"TensorBoard's events are written by tensorboardX: {how_to_install('tensorboard')}"
        ) from None
    # Files are named by the second in which they are begun, and a rerun may follow quickly.
    return SummaryWriter(str(folder), purge_step=first_step or None, filename_suffix=f".{first_step}")
