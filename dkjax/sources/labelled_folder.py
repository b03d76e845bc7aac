"""A folder of images and a table of what each shows: file name and label, and if wanted site, split and group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from dkjax.config import LabelColumns
from dkjax.errors import ConfigError, DataError
from dkjax.sources.class_names import normalised
from dkjax.sources.findings import Findings, Skipped
from dkjax.sources.folder_layout import split_of
from dkjax.sources.folder_walk import FolderWalk
from dkjax.sources.image_files import ImageFilesSource
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.text_table import read_table

# In lower case, without spaces, dashes and underscores; the first that a table has is taken.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "file": (
        *("filename", "file", "filepath", "path", "imagepath", "imagefile", "imagename", "image", "imageid", "img"),
        *("name", "idcode"),
    ),
    "label": ("label", "class", "classname", "category", "target", "labels", "diagnosis"),
    "split": ("split", "subset", "partition", "dataset"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid", "caseid", "moduleid"),
    "site": ("site", "client", "plant", "hospital", "clinic"),
}


@dataclass
class _Rows:
    """What a table says of the images that are there."""

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    left_out: list[Skipped] = field(default_factory=list)


def open_labelled_folder(
    folder: Path,
    table: Path,
    image_size: tuple[int, int] | None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
    columns: LabelColumns | None = None,
    site: str | None = None,
) -> dict[str, partial[ImageFilesSource]]:
    """Open the images of a folder by a table of labels.

    A file is found by its path below the folder, else by its name wherever it is, else by its name without the
    ending.

    Args:
        folder: holds the images, at any depth.
        table: as `dkjax.sources.text_table.read_table` reads it: a row for each image.
        image_size: (H, W); needed.
        channels: 3 or 1; 3 if None.
        classes: the classes that several sites agreed on; the labels in the table if None, numbers in their order.
        preparation: what becomes of other proportions and of more than 8 bits.
        columns: what the columns are called, where their names are not usual ones.
        site: take the rows of this site alone.

    Returns:
        A function that opens the source for `train` (all images if the table names no splits) and, where the table has
        rows for testing, for `test`. Images of one group are never divided between them.

    Raises:
        ConfigError: no image size, or a column that is not there.
        DataError: the table cannot be read, gives two labels to one file, names a file outside the folder or several
            files at once, or no row has an image.

    Guarantees:
        - labels are those of the table, whatever the order of its rows
          (`tests/sources/test_labelled_folder.py::test_labels_are_those_of_the_table`).
        - what is not read is named, rows and files
          (`tests/sources/test_labelled_folder.py::test_what_is_missing_is_named`).
    """
    if image_size is None:
        raise ConfigError(f"the folder {folder} needs an image size, since photographs differ: set data.image_size")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    values = read_table(table)
    chosen = _columns(table, values, columns)
    walk = FolderWalk(folder)
    files = [name for name in walk.all_files() if (folder / name).absolute() != table.absolute()]
    rows = _matched(table, values, chosen, files, site)
    class_names = tuple(classes) if classes is not None else _in_order({*rows.labels})
    if strangers := sorted({*rows.labels} - {*class_names}):
        raise DataError(f"{table} has a label {strangers[0]!r} that is not in data.classes: {', '.join(class_names)}")
    rows.left_out += [*walk.left_out, *_not_in_table(files, rows.names)]
    splits: dict[str, list[int]] = {"train": [place for place, one in enumerate(rows.splits) if one in ("train", None)]}
    for wanted in ("test", "validation"):
        if places := [place for place, one in enumerate(rows.splits) if one == wanted]:
            splits["test"] = places
            break
    if not splits["train"]:
        raise DataError(f"{table} has no row for training: its column {chosen['split']!r} never says train")
    doubts = _straddling(rows, splits, chosen.get("group"))
    notes = _notes(table, chosen, values, site)
    return {
        split: partial(
            ImageFilesSource,
            folder,
            [rows.names[place] for place in places],
            np.array([class_names.index(rows.labels[place]) for place in places]),
            class_names,
            image_size,
            3 if channels is None else channels,
            Findings((*rows.left_out, *_other_splits(rows, splits, split)), notes, doubts),
            preparation,
            np.unique([rows.groups[place] for place in places], return_inverse=True)[1] if rows.groups else None,
            {name: [column[rows.numbers[place]] for place in places] for name, column in values.items()},
        )
        for split, places in splits.items()
    }


def _columns(table: Path, values: Mapping[str, list[str]], columns: LabelColumns | None) -> dict[str, str]:
    """Find the columns by the names that were given, or by usual ones."""
    given = {} if columns is None else columns.model_dump(exclude_none=True)
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in values}
    found = {}
    for role, usual in _USUAL.items():
        if role in given:
            if given[role] not in values:
                raise ConfigError(
                    f"data.columns.{role}: {table} has no column {given[role]!r}, only {', '.join(values)}"
                )
            found[role] = given[role]
        elif name := next((plain[word] for word in usual if word in plain), None):
            found[role] = name
    for role, words in (("file", "the file names"), ("label", "the labels")):
        if role not in found:
            raise DataError(
                f"{table} has the columns {', '.join(values)}, and none is called {_USUAL[role][0]}: name the one with "
                f"{words}, data.columns.{role}"
            )
    return found


def _matched(
    table: Path, values: Mapping[str, list[str]], columns: Mapping[str, str], files: Sequence[str], site: str | None
) -> _Rows:
    """Find the file of each row."""
    lookup = _Lookup(files)
    rows = _Rows()
    seen: dict[str, str] = {}
    missing: list[str] = []
    unlabelled: list[str] = []
    if site is not None and "site" not in columns:
        raise ConfigError(f"data.site={site!r}, but {table} has no column of sites: name it, data.columns.site")
    numbers = _as_written(values[columns["label"]])
    for number, (name, label) in enumerate(zip(values[columns["file"]], numbers, strict=True)):
        if site is not None and values[columns["site"]][number] != site:
            continue
        where = f"{table}, row {number + 2}"
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not name:
            # A table that comes from elsewhere decides which files are read, and these leave as images.
            raise DataError(f"{where}: expected the path of a file below the folder, got {name!r}")
        file = lookup.find(path, where)
        if file is None:
            missing.append(name)
        elif not label:
            unlabelled.append(name)
        elif file in seen:
            if seen[file] != label:
                raise DataError(f"{where}: {name} has the label {label!r}, and {seen[file]!r} in a row before")
        else:
            seen[file] = label
            rows.names.append(file)
            rows.numbers.append(number)
            rows.labels.append(normalised(label, where))
            rows.splits.append(_split(values, columns, number, where))
            if "group" in columns:
                # An image without a group is a group of its own.
                rows.groups.append(values[columns["group"]][number] or f"\0{number}")
    if not rows.names:
        raise DataError(
            f"{table} names no file that is there" + (f", such as {missing[0]}" if missing else "")
            if site is None or missing
            else f"{table} has no row of the site {site!r}"
        )
    rows.left_out += _summed_up(missing, "in the table, and not in the folder")
    rows.left_out += _summed_up(unlabelled, "without a label in the table")
    return rows


class _Lookup:
    """Files by path, by name, and by name without ending."""

    def __init__(self, files: Sequence[str]) -> None:
        self._paths = frozenset(files)
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for file in files:
            path = PurePosixPath(file)
            self._by_name.setdefault(path.name, []).append(file)
            self._by_stem.setdefault(path.stem, []).append(file)

    def find(self, path: PurePosixPath, where: str) -> str | None:
        """Return the file that a row means; None if there is none."""
        if str(path) in self._paths:
            return str(path)
        found = self._by_name.get(path.name) or self._by_stem.get(path.name) or []
        # A path that names folders means a file in such folders.
        if len(path.parts) > 1:
            same = [
                file for file in found if PurePosixPath(file).parent.parts[1 - len(path.parts) :] == path.parts[:-1]
            ]
            found = same or found
        if len(found) > 1:
            raise DataError(f"{where}: {path} may be {found[0]} or {found[1]}: write the path below the folder")
        return found[0] if found else None


def _as_written(labels: Sequence[str]) -> list[str]:
    """Labels as text; whole numbers without the `.0` that tables with gaps give them."""
    if all(not label or label.removesuffix(".0").removeprefix("-").isdecimal() for label in labels):
        return [label.removesuffix(".0") for label in labels]
    return list(labels)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Class names in order; numbers by their value."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _split(values: Mapping[str, list[str]], columns: Mapping[str, str], number: int, where: str) -> str | None:
    if "split" not in columns or not (word := values[columns["split"]][number]):
        return None
    split = split_of(word)
    if split is None:
        raise DataError(f"{where}: the split {word!r} is none of train, test, validation")
    return split


def _straddling(rows: _Rows, splits: Mapping[str, list[int]], group: str | None) -> tuple[str, ...]:
    if group is None or "test" not in splits:
        return ()
    train, test = ({rows.groups[place] for place in splits[split]} for split in ("train", "test"))
    if not (both := sorted(train & test)):
        return ()
    return (f"{len(both)} of the column {group}, such as {both[0]!r}, are both in training and in test rows",)


def _other_splits(rows: _Rows, splits: Mapping[str, list[int]], split: str) -> list[Skipped]:
    others = len(rows.names) - len(splits[split])
    where = "--split test" if split == "train" and "test" in splits else "a table without that column"
    return [Skipped(f"{others:,} images", f"of other splits; to take them: {where}")] if others else []


def _notes(
    table: Path, columns: Mapping[str, str], values: Mapping[str, list[str]], site: str | None
) -> tuple[str, ...]:
    used = ", ".join(f"{role} from {name!r}" for role, name in columns.items() if role != "site" or site is not None)
    notes = [f"{table.name}: {used}"]
    sites = {*values[columns["site"]]} if "site" in columns else set()
    if site is None and len(sites) > 1:
        notes.append(f"{table.name} has rows of {len(sites)} sites, and all are taken; for one alone set data.site")
    return tuple(notes)


def _not_in_table(files: Sequence[str], named: Sequence[str]) -> list[Skipped]:
    return _summed_up(sorted({*files} - {*named}), "not in the table of labels")


def _summed_up(names: Sequence[str], reason: str) -> list[Skipped]:
    if not names:
        return []
    return [Skipped(names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more", reason)]
