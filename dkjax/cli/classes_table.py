"""What `dkjax encrypt` shows before anything is written: classes, what is left out, what a person should decide."""

import sys
from collections import Counter
from typing import Any

import typer

from dkjax.cli.plural import plural
from dkjax.errors import DataError
from dkjax.report.console import say, visible
from dkjax.sources.findings import Skipped
from dkjax.sources.survey import Survey

_SHOWN = 40


def show_classes(found: Survey) -> None:
    """Print a table of the classes on stderr, what is left out and why, and what should be known.

    Args:
        found: what the source holds.
    """
    skipped = found.skipped
    width = max([5, *(len(visible(name)) for name in list(found.counts)[:_SHOWN])])
    say(f"{'class':<{width}}  {'images':>9}{'  skipped' if skipped else ''}")
    for name, count in list(found.counts.items())[:_SHOWN]:
        lost = len(skipped.get(name, ()))
        say(f"{visible(name):<{width}}  {count - lost:>9,}{f'{lost:>9,}' if skipped else ''}")
    if len(found.counts) > _SHOWN:
        say(f"... and {len(found.counts) - _SHOWN:,} more classes")
    say("Class names leave the site as they are written here.")
    for reason, names in _by_reason([one for several in skipped.values() for one in several]).items():
        say(f"skipped: {plural(len(names), 'file')}, such as {names[0]}: {reason}")
    for entry in found.left_out:
        say(f"left out: {entry.name}: {entry.reason}")
    for note in found.notes:
        say(f"note: {note}")
    for warning in found.warnings:
        say(f"warning: {warning}")
    for doubt in found.doubts:
        say(f"please check: {doubt}")


def as_json(found: Survey) -> dict[str, Any]:
    """Put the same into plain values."""
    return {
        "classes": found.counts,
        "left_out": [entry._asdict() for entry in found.left_out],
        "class_warnings": [*found.warnings, *found.doubts],
    }


def go_on(found: Survey, yes: bool) -> None:
    """Ask a person about doubts; where there is none to ask, stop and name the option that goes on.

    Args:
        found: what the source holds.
        yes: the answer was given beforehand.

    Raises:
        DataError: the answer is no, or there is nobody to ask.
    """
    if not found.doubts or yes:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm("Encrypt all the same?", default=False, err=True):
            return
        raise DataError("nothing was encrypted, as you chose")
    raise DataError(f"nothing was encrypted: {'; '.join(found.doubts)}. If it is right as it is, add --yes")


def _by_reason(skipped: list[Skipped]) -> dict[str, list[str]]:
    """The names of files by why they are skipped, the most frequent reason first."""
    order = Counter(one.reason for one in skipped).most_common()
    return {reason: [one.name for one in skipped if one.reason == reason] for reason, _ in order}
