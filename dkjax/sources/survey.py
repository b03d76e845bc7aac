"""What a source holds, class by class, and what a person should know before any of it leaves."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dkjax.sources.class_names import name_doubts, person_doubts
from dkjax.sources.findings import Skipped, findings_of
from dkjax.sources.source import Source, check

_MANY_CLASSES, _FEW_IMAGES = 5, 5
_AT_A_TIME = 1024


@dataclass(frozen=True)
class Survey:
    """What a source holds.

    Attributes:
        counts: records by class name, those without a record included, in the order of the labels.
        skipped: by class, the records that are known not to be readable.
        left_out: files and folders that are not read, and why.
        notes: how the source was understood.
        warnings: what may well be meant so, and should be known.
        doubts: what a person should decide.
    """

    counts: dict[str, int]
    skipped: dict[str, list[Skipped]]
    left_out: tuple[Skipped, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    doubts: tuple[str, ...]


def survey(source: Source, agreed: bool = False, seconds: float = 10) -> Survey:
    """Count the records of each class, and say what is unusual; no image is decoded.

    The beginning of every file is looked at, as long as there is time.

    Args:
        source: the images.
        agreed: the list of classes is one that people agreed on, so that names are not doubted.
        seconds: how long files are looked at.

    Returns:
        The survey.

    Guarantees:
        - a single class, a class without an image, and names of persons are told by name
          (`tests/sources/test_survey.py::test_what_should_be_known_is_said`).
    """
    counts = dict(
        zip(source.class_names, np.bincount(source.labels, minlength=len(source.class_names)).tolist(), strict=True)
    )
    found = findings_of(source)
    doubts = (*found.doubts, *name_doubts(source.class_names), *(() if agreed else person_doubts(source.class_names)))
    skipped, looked_at = _unreadable(source, seconds)
    notes = found.notes
    if looked_at < len(source):
        notes = (*notes, f"the first {looked_at:,} of {len(source):,} files were looked at; more may be skipped")
    return Survey(counts, skipped, found.left_out, notes, _warnings(counts, agreed), doubts)


def _unreadable(source: Source, seconds: float) -> tuple[dict[str, list[Skipped]], int]:
    """The records that are known not to be readable, by class, and how many records were looked at."""
    skipped: dict[str, list[Skipped]] = {}
    end = time.monotonic() + seconds
    for start in range(0, len(source), _AT_A_TIME):
        if time.monotonic() > end:
            return skipped, start
        problems = check(source, slice(start, start + _AT_A_TIME))
        for label, problem in zip(source.labels[start : start + _AT_A_TIME], problems, strict=True):
            if problem is not None:
                skipped.setdefault(source.class_names[label], []).append(problem)
    return skipped, len(source)


def lost_classes(before: Survey, labels: NDArray[np.integer]) -> list[str]:
    """List the classes of which no record could be read.

    Args:
        before: what the source held.
        labels: of what came out, integers [n].

    Returns:
        A sentence for each class that had records and has none any more.
    """
    kept = np.bincount(labels, minlength=len(before.counts)).tolist()
    return [
        f"all {count} images of class {name!r} were skipped"
        for (name, count), left in zip(before.counts.items(), kept, strict=True)
        if count and not left
    ]


def _warnings(counts: dict[str, int], agreed: bool) -> tuple[str, ...]:
    warnings = []
    held = [name for name, count in counts.items() if count]
    if len(held) == 1:
        warnings.append(f"there is only one class with images, {held[0]!r}: nothing can be told apart here")
    if empty := [name for name, count in counts.items() if not count]:
        warnings.append(f"no image of {'class' if len(empty) == 1 else 'classes'} {', '.join(map(repr, empty))}")
    few = statistics.median(counts.values())
    if not agreed and len(counts) >= _MANY_CLASSES and few <= _FEW_IMAGES:
        warnings.append(
            f"{len(counts)} classes with {few:g} images each, as where there is a folder for each person or part: "
            "class names leave the site"
        )
    return tuple(warnings)
