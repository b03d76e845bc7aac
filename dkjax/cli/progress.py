"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from dkjax.report.console import visible

if TYPE_CHECKING:
    from dkjax.client import data_set
    from dkjax.sources import Source

LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal for a bar."""

_TIME = len(" 0:00:00")


class Activity:
    """One thing at a time that takes long.

    On a terminal it is a bar, as wide as there is room, and the details that fit beside it. Elsewhere, in a log or a
    pipe, it is a line after every `every` seconds, and one at the end of what had such lines; what takes less time says
    nothing.

    Args:
        console: where to; by default stderr.
        every: seconds between two lines.
    """

    def __init__(self, console: Console | None = None, every: float | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._every = LINE_EVERY if every is None else every
        # FORCE_COLOR lets Rich take a log for a terminal.
        self._live = self._console.is_interactive and self._console.file.isatty()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=max(4, min(24, self._console.width // 6))),
            TextColumn("{task.fields[text]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._what, self._details = "", ""
        self._begun = self._said = time.monotonic()
        self._lines = 0

    def __enter__(self) -> "Activity":
        # Nothing is started here: a signal that comes meanwhile would leave it running.
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since the thing at hand began."""
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(visible(text), soft_wrap=True, markup=False, highlight=False, emoji=False)

    def begin(self, what: str, total: float | None = None, text: str = "") -> None:
        """Begin something, and end what was at hand.

        Args:
            what: the thing, such as `encrypting`.
            total: how much it is, where that is known.
            text: what is said beside it at first.
        """
        self.end()
        self._what, self._details, self._lines = visible(what), text, 0
        self._begun = self._said = time.monotonic()
        label = Text(self._what)
        label.truncate(max(12, self._console.width // 3), overflow="ellipsis")
        self._bar.start()
        self._task = self._bar.add_task(label.plain, total=total, text=text)

    def update(self, done: float, total: float | None, details: Sequence[str]) -> None:
        """Say how far it is.

        Args:
            done: how much is done.
            total: of how much; None leaves it as it was.
            details: what is said beside the bar, the most important first; as many as fit.
        """
        if self._task is None:
            return
        self._details = ", ".join(details)
        self._bar.update(self._task, completed=done, total=total, text=self._fitting(details))
        if not self._live and time.monotonic() - self._said >= self._every:
            self._line()

    def end(self) -> None:
        """Remove the bar; in a log, say how the thing ended if it was spoken of before."""
        if self._task is None:
            return
        self._bar.remove_task(self._task)
        self._bar.refresh()
        self._task = None
        if self._lines:
            self._line()

    def counting(self, what: str, unit: str) -> Callable[[int, int], None]:
        """Begin something that is counted.

        Args:
            what: the thing, such as `converting`.
            unit: what is counted, such as `records`; `bytes` are shown in MB.

        Returns:
            A function to call with (done, total).
        """
        self.begin(what)

        def count(done: int, total: int) -> None:
            rate = done / max(self.seconds, 1e-3)
            if unit == "bytes":
                details = [f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB", f"{rate / 1e6:,.0f} MB/s"]
            else:
                details = [f"{done:,}/{total:,} {unit}", f"{rate:,.0f}/s"]
            self.update(done, total, details)

        return count

    def _line(self) -> None:
        self._said = time.monotonic()
        self._lines += 1
        self.say(f"{self._what}: {self._details}; {self.seconds:,.0f} s")

    def _fitting(self, details: Sequence[str]) -> str:
        """As many details as there is room for beside name, bar and time."""
        taken = Text(self._what).cell_len
        taken = min(taken, max(12, self._console.width // 3)) + self._console.width // 6 + _TIME + 2
        text = details[0] if details else ""
        for detail in details[1:]:
            if taken + len(text) + 2 + len(detail) > self._console.width:
                break
            text += f"  {detail}"
        return text


class EncryptionProgress:
    """Shows how the encryption of a source goes on, and lists what cannot be read, on stderr."""

    def __init__(self, source: "Source", activity: Activity | None = None) -> None:
        """Show as an activity; by default on stderr."""
        self._source = source
        self._activity = activity or Activity()
        self._listed = 0
        self._begun = False
        self._started = time.perf_counter()
        self.kept = 0
        self.done = 0

    def __enter__(self) -> "EncryptionProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._activity.__exit__()
        self._list_skipped()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._started

    @property
    def images_per_second(self) -> float:
        """Of what was done this time."""
        return (self.done - self.kept) / self.seconds

    def update(self, progress: "data_set.Progress") -> None:
        """Begin or move the bar, and list what could not be read since the last time."""
        if not self._begun:
            self._begun = True
            self._activity.begin("encrypting", progress.total)
        if progress.kept and not self.done:
            self._activity.say(f"going on: {progress.kept:,} of {progress.total:,} images were finished before")
        if progress.changed:
            self._activity.say(f"{progress.changed:,} images are read again: files among them have changed since")
        self.done, self.kept = progress.done, progress.kept
        details = [f"{progress.done:,}/{progress.total:,}", f"{self.images_per_second:,.0f} images/s"]
        self._activity.update(progress.done, progress.total, details)
        self._list_skipped()

    def _list_skipped(self) -> None:
        for skipped in self._source.skipped[self._listed :]:
            self._activity.say(f"skipped {skipped.name}: {skipped.reason}")
        self._listed = len(self._source.skipped)
