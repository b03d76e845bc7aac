"""What a person sees of a simulation or a training while it goes on, on stderr."""

import time
from collections.abc import Callable

from dkjax.cli.progress import Activity
from dkjax.train import metrics
from dkjax.train.observer import Observer


class TerminalObserver(Observer):
    """Shows a simulation's progress."""

    def __init__(self, activity: Activity | None = None) -> None:
        """Show as an activity; by default on stderr."""
        self._activity = activity or Activity()
        self._started = time.perf_counter()

    def __enter__(self) -> "TerminalObserver":
        self._activity.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._activity.__exit__()

    def reading(self, source: str) -> None:
        """Say which images are read."""
        self._activity.say(f"reading {source}")

    def skipped(self, name: str, reason: str) -> None:
        """List a record that could not be read."""
        self._activity.say(f"skipped {name}: {reason}")

    def note(self, text: str) -> None:
        """Say something a person should know."""
        self._activity.say(f"note: {text}")

    def warning(self, text: str) -> None:
        """Say what is wrong."""
        self._activity.say(f"warning: {text}")

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Begin a bar."""
        self._begin(arm if runs == 1 else f"{arm} {run}/{runs}", total_steps, "encrypting")

    def run_kept(self, arm: str, run: int) -> None:
        """Say that a run was done before."""
        self._activity.say(f"{arm} run {run}: finished before, kept")

    def training(self, progress: metrics.Progress) -> None:
        """Move the bar."""
        details = (
            f"{progress.step:,}/{progress.total_steps:,}",
            f"loss {progress.loss:.3f}",
            *(() if progress.accuracy is None else (f"accuracy {progress.accuracy:.1%}",)),
            f"{progress.images_per_second:,.0f} images/s",
        )
        self._activity.update(progress.step, None, details)

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """Replace the bar by a line with the accuracies."""
        views = ", ".join(f"{share:.1%} on {view.replace('_', '-')} test images" for view, share in accuracy.items())
        self._finish(f"{arm} run {run}: {views} ({time.perf_counter() - self._started:.0f} s)")

    def _begin(self, name: str, total_steps: int, text: str) -> None:
        self._started = time.perf_counter()
        self._activity.begin(name, total_steps, text)

    def _finish(self, text: str) -> None:
        self._activity.end()
        self._activity.say(text)


class TrainingObserver(TerminalObserver):
    """Shows how a server checks, trains and tests."""

    def __init__(self, activity: Activity | None = None) -> None:
        """Show as an activity; by default on stderr."""
        super().__init__(activity)
        self._checking: Callable[[int, int], None] | None = None

    def verifying(self, done: int, total: int) -> None:
        """Move the bar of the check."""
        if self._checking is None:
            self._checking = self._activity.counting("checking", "bytes")
        self._checking(done, total)
        if done == total:
            self._activity.end()
            self._checking = None

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Begin a bar."""
        self._begin(arm, total_steps, "compiling")

    def run_kept(self, arm: str, run: int) -> None:
        """Say that it was done before."""
        self._activity.say(f"{arm}: finished before, kept")

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """Replace the bar by a line with the accuracies."""
        found = "".join(f", {share:.1%} on {name}" for name, share in accuracy.items())
        self._finish(f"{arm}: {time.perf_counter() - self._started:.0f} s{found}")
