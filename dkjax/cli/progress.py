"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dkjax.client import data_set as handover
from dkjax.sources import Source
from dkjax.train import metrics
from dkjax.train.observer import Observer


class TerminalObserver(Observer):
    """Shows a simulation's progress to a person, on stderr."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on a console; by default stderr."""
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = time.perf_counter()

    def __enter__(self) -> "TerminalObserver":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _remove_bar(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def reading(self, source: str) -> None:
        """Say which images are read."""
        self._say(f"reading {source}")

    def skipped(self, name: str, reason: str) -> None:
        """List a record that could not be read."""
        self._say(f"skipped {name}: {reason}")

    def note(self, text: str) -> None:
        """Say something a person should know."""
        self._say(f"note: {text}")

    def warning(self, text: str) -> None:
        """Say what is wrong."""
        self._say(f"warning: {text}")

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Begin a bar."""
        self._started = time.perf_counter()
        name = arm if runs == 1 else f"{arm} {run}/{runs}"
        self._task = self._progress.add_task(name, total=total_steps, text="encrypting")

    def run_kept(self, arm: str, run: int) -> None:
        """Say that a run was done before."""
        self._say(f"{arm} run {run}: finished before, kept")

    def training(self, progress: metrics.Progress) -> None:
        """Move the bar."""
        if self._task is None:
            return
        text = (
            f"{progress.step}/{progress.total_steps}  loss {progress.loss:.3f}  accuracy {progress.accuracy:.1%}  "
            f"{progress.images_per_second:,.0f} images/s"
        )
        self._progress.update(self._task, completed=progress.step, text=text)

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """Replace the bar by a line with the accuracies."""
        self._remove_bar()
        views = ", ".join(f"{share:.1%} on {view.replace('_', '-')} test images" for view, share in accuracy.items())
        self._say(f"{arm} run {run}: {views} ({time.perf_counter() - self._started:.0f} s)")


class TrainingObserver(TerminalObserver):
    """Shows how a server checks, trains and tests, on stderr."""

    def verifying(self, done: int, total: int) -> None:
        """Move the bar of the check."""
        if self._task is None:
            self._task = self._progress.add_task("checking", total=total, text="")
        self._progress.update(self._task, completed=done, total=total, text=f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB")
        if done == total:
            self._remove_bar()

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Begin a bar."""
        self._started = time.perf_counter()
        self._task = self._progress.add_task(arm, total=total_steps, text="compiling")

    def run_kept(self, arm: str, run: int) -> None:
        """Say that it was done before."""
        self._say(f"{arm}: finished before, kept")

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """Replace the bar by a line with the accuracies."""
        self._remove_bar()
        found = "".join(f", {share:.1%} on {name}" for name, share in accuracy.items())
        self._say(f"{arm}: {time.perf_counter() - self._started:.0f} s{found}")


class EncryptionProgress:
    """Shows how the encryption of a source goes on, and lists what cannot be read, on stderr."""

    def __init__(self, source: Source, console: Console | None = None) -> None:
        """Show on a console; by default stderr."""
        self._source = source
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("encrypting"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, text="")
        self._listed = 0
        self._started = time.perf_counter()
        self.kept = 0
        self.done = 0

    def __enter__(self) -> "EncryptionProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._list_skipped()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._started

    @property
    def images_per_second(self) -> float:
        """Of what was done this time."""
        return (self.done - self.kept) / self.seconds

    def update(self, progress: handover.Progress) -> None:
        """Move the bar, and list what could not be read since the last time."""
        if progress.kept and not self.done:
            self._console.print(f"going on: {progress.kept:,} of {progress.total:,} images were finished before")
        if progress.changed:
            self._console.print(f"{progress.changed:,} images are read again: files among them have changed since")
        self.done, self.kept = progress.done, progress.kept
        text = f"{progress.done:,}/{progress.total:,}  {self.images_per_second:,.0f} images/s"
        self._bar.update(self._task, completed=progress.done, total=progress.total, text=text)
        self._list_skipped()

    def _list_skipped(self) -> None:
        for skipped in self._source.skipped[self._listed :]:
            self._console.print(f"skipped {skipped.name}: {skipped.reason}", markup=False)
        self._listed = len(self._source.skipped)


@contextlib.contextmanager
def reading_bytes(description: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how many bytes have been read; a bar on a terminal, nothing elsewhere.

    Args:
        description: of what.
        console: where to; by default stderr.

    Yields:
        What to call with the bytes read so far and in all.
    """
    console = console or Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
