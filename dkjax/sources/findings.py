"""What was noticed while a source was opened, and what a person should know of it before images leave."""

from dataclasses import dataclass
from typing import NamedTuple


class Skipped(NamedTuple):
    """A record, file or folder that is not read: its name within the source, and why, on one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What was noticed while a source was opened.

    Attributes:
        left_out: folders and files that are not read, and why.
        notes: how the source was understood where that is not plain, a sentence each.
        doubts: what a person should decide, a sentence each that names the way out: it may well be a mistake.
    """

    left_out: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


NOTHING_FOUND = Findings()


def findings_of(source: object) -> Findings:
    """Return what was noticed when a source was opened; nothing, where it does not say."""
    found = getattr(source, "findings", NOTHING_FOUND)
    return found if isinstance(found, Findings) else NOTHING_FOUND
