"""A bar on stderr for commands that count one thing."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for as long as the block takes, on a terminal alone.

    Args:
        what: what is done, such as `converting`.
        unit: what is counted, such as `records`.

    Yields:
        A function to call with (done, total).
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=0, unit=unit)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
