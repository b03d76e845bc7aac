"""Optional recordings of a training beside its metrics: traces and TensorBoard's events."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from dkjax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Profiling:
    """The requested recordings.

    Attributes:
        profile: the steps of which a trace is written, counted from 0; None for none.
        tensorboard: whether the metrics are written as TensorBoard's events, too.
    """

    profile: range | None = None
    tensorboard: bool = False

    def events(self, folder: Path) -> Path | None:
        """The folder for the events of a run, or None."""
        return folder / "tensorboard" if self.tensorboard else None


class Profiler:
    """Writes a trace of some steps, for TensorBoard's profile plugin, XProf or Perfetto; one for each process.

    Args:
        folder: for the trace.
        steps: to trace; None for none.

    Guarantees:
        - what the devices do in those steps is in it, and nothing before or after
          (`test_profiling.py::test_traces_the_steps`).
    """

    def __init__(self, folder: Path, steps: range | None) -> None:
        self._folder = folder
        self._steps = steps
        self._running = False

    def before_step(self, step: int, state: TrainState) -> None:
        """Begin or end the trace at its steps; arguments as for `dkjax.train.loop.train`."""
        if self._steps is None:
            return
        if self._running and step not in self._steps:
            self._stop(state)
        elif not self._running and step in self._steps:
            jax.block_until_ready(state)
            self._folder.mkdir(parents=True, exist_ok=True)
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def _stop(self, state: Any) -> None:
        jax.block_until_ready(state)
        jax.profiler.stop_trace()
        self._running = False

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            self._stop(None)
