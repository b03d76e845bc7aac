"""Image files on disk, each with a label, decoded when they are asked for."""

import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.runtime.aligned import aligned_empty
from dkjax.runtime.threads import on_all_cores
from dkjax.sources.decode import Unreadable, check_files, decode_images, stored_sizes
from dkjax.sources.findings import NOTHING_FOUND, Findings, Skipped
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.resize import check_image_size
from dkjax.sources.source import Indices, Records, check_labels, positions

FOLDER = "folder"
"""What stands for the first sub-folder, below the class folder where there is one, in place of a table's column."""


class ImageFilesSource:
    """Image files below one folder, in a given order.

    Args:
        folder: what the names are relative to.
        names: the path of each file below the folder, with `/` between its parts.
        labels: integers [n], one for each file, each in `0..len(class_names)-1`.
        class_names: the name of each class.
        image_size: (H, W) of the images that come out.
        channels: 3 for RGB, 1 for grey.
        findings: what was noticed when the files were looked for.
        preparation: what becomes of other proportions and of more than 8 bits.
        groups: integers [n], the same for images that must not be divided between training and testing.
        columns: further columns of a table, a value for each file.

    Raises:
        ArgumentError: an image size that is not positive, or another number of channels.
        DataError: a label outside the classes.

    Guarantees:
        An unreadable file is reported once and hides no other
        (`tests/sources/test_image_folder.py::test_unreadable_files_are_skipped_and_told`).
    """

    _class_folders = 0
    """How many levels of folders say the class."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        labels: np.ndarray,
        class_names: Sequence[str],
        image_size: tuple[int, int],
        channels: int = 3,
        findings: Findings = NOTHING_FOUND,
        preparation: Preparation = AS_IS,
        groups: NDArray[np.integer] | None = None,
        columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        if channels not in (1, 3):
            raise ArgumentError(f"channels must be 1 (grey) or 3 (RGB) for image files, got {channels}")
        self.class_names = tuple(class_names)
        self.image_shape = (*check_image_size(image_size), channels)
        self.labels = check_labels(labels, len(self.class_names), str(folder))
        self.findings = findings
        self.groups = groups
        self._columns = columns
        self._folder = folder
        self._preparation = preparation
        self._names = tuple(names)
        self._skipped: dict[str, Skipped] = {}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files found unreadable so far, named by their path below the folder."""
        return tuple(self._skipped.values())

    def natural_ids(self, by: str) -> list[str]:
        """As `dkjax.sources.source.natural_ids`, of all files."""
        if by == FOLDER:
            parts = [PurePosixPath(name).parts[self._class_folders : -1] for name in self._names]
            found = [part[0] if part else "" for part in parts]
        elif by in self._columns:
            found = list(self._columns[by])
        else:
            known = ", ".join((FOLDER, *self._columns))
            raise ConfigError(
                f"clients.partition_by={by!r} is neither {FOLDER!r} nor a column of a table, only {known}"
            )
        if without := [name for name, one in zip(self._names, found, strict=True) if not one]:
            where = "in no sub-folder" if by == FOLDER else f"without a value in the column {by!r}"
            raise DataError(
                f"{len(without):,} images, such as {without[0]}, are {where}: nobody can tell whose they are "
                f"(clients.partition_by={by!r})"
            )
        return found

    def check(self, indices: Indices) -> list[Skipped | None]:
        """Say of records which will not be readable, as far as the first bytes of their files tell."""
        names = [self._names[position] for position in positions(indices, len(self))]
        problems = check_files([self._folder / name for name in names], self._preparation)
        return [
            None if problem is None else Skipped(name, problem.reason)
            for name, problem in zip(names, problems, strict=True)
        ]

    def stored_sizes(self, indices: Indices) -> list[tuple[int, int] | None]:
        """As `dkjax.sources.source.stored_sizes`."""
        return stored_sizes([self._folder / self._names[position] for position in positions(indices, len(self))])

    def fingerprint(self, indices: Indices) -> str:
        """A hash over the names, sizes and times of the files of records, which changes when one is replaced."""
        names = [self._names[position] for position in positions(indices, len(self))]

        def states(some: list[str]) -> list[tuple[str, tuple[int, int] | None]]:
            return [(name, _state(os.path.join(self._folder, name))) for name in some]

        # Many at a time: to hand one to a thread takes ten times as long as to ask for it.
        pieces = on_all_cores(states, [names[at : at + 64] for at in range(0, len(names), 64)])
        return hashlib.sha256(repr(list(itertools.chain.from_iterable(pieces))).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        images = aligned_empty((len(chosen), *self.image_shape), np.uint8)
        readable: list[int] = []
        files = [self._folder / self._names[position] for position in chosen]
        for position, image in zip(
            chosen, decode_images(files, self.image_shape[:2], self.image_shape[2], self._preparation), strict=True
        ):
            if isinstance(image, Unreadable):
                name = self._names[position]
                self._skipped.setdefault(name, Skipped(name, image.reason))
            else:
                images[len(readable)] = image
                readable.append(position)
        labels: NDArray[np.int32] = self.labels[np.array(readable, np.int64)]
        return {"image": images[: len(readable)], "label": labels}


def _state(path: str) -> tuple[int, int] | None:
    """What changes when a file is replaced: its size and the time of its last change; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
