"""Is an encrypted data set whole? What the server asks before it trains, and `dkjax verify` for a person.

Cheap things first: the manifest, the files, their headers. Then every byte: the SHA-256 of each shard, and where that
is not the one written, the checksum of each record, which says what is damaged. Last, whether what is whole makes
sense. These are checksums, no signature: they find accidents, and changes by whoever does not write the manifest anew.
"""

import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import layout
from dkjax.dkds.data_set import EncryptedDataSet, packed_problem, read_manifest, strangers_in
from dkjax.dkds.manifest import Manifest
from dkjax.dkds.packed import read_packed
from dkjax.dkds.shard import Shard, damaged_records, open_shard
from dkjax.errors import DamagedDataSetError, DataError
from dkjax.runtime.threads import on_all_cores

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and in all, from one thread at a time."""

_CHUNK = 1 << 20
_MISSING_NAMED = 100
"""Missing shards that are told one by one; a manifest may name any number that are not there."""

_THREADS = 8


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found out about a data set.

    Attributes:
        path: its folder.
        manifest: what it says of itself; None where that cannot be trusted, and nothing else could be checked.
        problems: everything that is wrong with it: what shows without reading all bytes, then what they show; each in
            the order of the shards.
    """

    path: Path
    manifest: Manifest | None
    problems: tuple[DamagedDataSetError, ...]

    @property
    def whole(self) -> bool:
        """Whether it is what was written."""
        return not self.problems


def verify(path: Path, progress: Progress = lambda done, total: None) -> Report:
    """Find everything that is wrong with an encrypted data set.

    Every byte is read once, in parallel; memory is 1 MiB a thread, and some 40 bytes a record for its id. A packed data
    set is unpacked in memory, shard by shard.

    Args:
        path: the folder `NAME.dkds`.
        progress: called as bytes are read.

    Returns:
        What was found. Each problem has its kind, and names the shard and the record where it is one of them.

    Guarantees:
        - a change to any file is found, and so is a file too many or too few (`test_damage.py`).
        - each kind of damage is told apart, with its shard and its record (`test_verify.py::test_kind`).
        - of several problems, all are told (`test_verify.py::test_all_problems_are_told`).
    """
    if layout.is_packed(path):
        return _verify_packed(path, progress)
    look = _Look(path)
    _read_everything([look], progress)
    return Report(path, look.manifest, tuple(look.problems))


def _verify_packed(path: Path, progress: Progress) -> Report:
    try:
        manifest = read_manifest(path)
    except DamagedDataSetError as error:
        return Report(path, None, (error,))
    problems = _strangers(path, strangers_in(path, manifest))
    ids: dict[int, NDArray[np.uint8]] = {}
    advance = _Counter(sum(entry.bytes for entry in manifest.shards), progress)
    files = [path / layout.packed_name(number) for number in range(len(manifest.shards))]
    for number, (file, entry) in enumerate(zip(files, manifest.shards, strict=True)):
        try:
            records, ids[number] = read_packed(path, number, manifest)
            problems += _label_problems(file, number, records["label"], len(manifest.class_names))
        except DamagedDataSetError as error:
            problems.append(error)
        except OSError as error:
            problems.append(_unreadable(file, error, number))
        advance(entry.bytes)
    problems += [_common_record([files], first, place) for first, place in _common_ids([ids])]
    return Report(path, manifest, tuple(problems))


def require_whole(
    data_sets: Sequence[Path], progress: Progress = lambda done, total: None
) -> tuple[EncryptedDataSet, ...]:
    """Open encrypted data sets for training, all of them whole, and no record twice.

    Args:
        data_sets: their folders.
        progress: called as bytes are read.

    Returns:
        The data sets, open, in the same order.

    Raises:
        DamagedDataSetError: the first problem of one of them, or two of them hold one record. What can be seen without
            reading all bytes is looked for in all of them first.
        DataError: no data set, or one that was given twice.

    Guarantees:
        - what is damaged is refused (`test_damage.py`).
        - one data set under two names is refused (`test_verify.py::test_one_data_set_twice`).
    """
    if not data_sets:
        raise DataError("there is no data set to train on: give at least one NAME.dkds")
    looks = [_Look(path) for path in data_sets]
    _raise_first(looks)
    _refuse_twins(looks)
    _read_everything(looks, progress)
    _raise_first(looks)
    whole = tuple(look.data_set() for look in looks)
    refuse_common_records(whole)
    return whole


def refuse_common_records(data_sets: Sequence[EncryptedDataSet]) -> None:
    """Raise `DamagedDataSetError` if a record is in two places of open data sets; reads only the ids."""
    files = [[one.path / entry.file for entry in one.manifest.shards] for one in data_sets]
    for found in _common_ids([{number: shard.id for number, shard in enumerate(one.shards)} for one in data_sets]):
        raise _common_record(files, *found)


def labels_in_range(data_set: EncryptedDataSet) -> None:
    """Raise `DamagedDataSetError` if a label of an open data set lies outside its classes; reads only the labels."""
    for number, shard in enumerate(data_set.shards):
        file = data_set.path / data_set.manifest.shards[number].file
        for problem in _label_problems(file, number, shard.label, len(data_set.class_names)):
            raise problem


class _Look:
    """A data set while it is looked at: what could be opened of it, and what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest | None = None
        self.shards: dict[int, Shard] = {}
        self.problems: list[DamagedDataSetError] = []
        try:
            self.manifest = manifest = read_manifest(path)
            if (packed := packed_problem(path)) is not None:
                raise packed
            strangers = strangers_in(path, manifest)
            present = set(os.listdir(path))
        except DamagedDataSetError as error:
            self.problems.append(error)
            return
        except OSError as error:
            self.problems.append(_unreadable(path, error))
            return
        self.problems += _strangers(path, strangers)
        missing = [number for number, entry in enumerate(manifest.shards) if entry.file not in present]
        for number in missing[:_MISSING_NAMED]:
            text = f"{path / manifest.shards[number].file} is missing: copy it again"
            self.problems.append(DamagedDataSetError("shard-missing", text, shard=number))
        if more := missing[_MISSING_NAMED:]:
            text = f"{path}: {len(more):,} more shards are missing: copy the data set again"
            self.problems.append(DamagedDataSetError("shard-missing", text, shard=more[0]))
        for number in sorted(set(range(len(manifest.shards))).difference(missing)):
            entry = manifest.shards[number]
            try:
                self.shards[number] = open_shard(path, number, manifest)
            except DamagedDataSetError as error:
                self.problems.append(error)
            except OSError as error:
                self.problems.append(_unreadable(path / entry.file, error, number))

    @property
    def opened(self) -> Manifest:
        assert self.manifest is not None
        return self.manifest

    def data_set(self) -> EncryptedDataSet:
        return EncryptedDataSet(self.path, self.opened, tuple(self.shards.values()))

    def check_bytes(self, number: int, advance: Callable[[int], None]) -> list[DamagedDataSetError]:
        """Read a shard that could be opened."""
        entry, shard = self.opened.shards[number], self.shards[number]
        file = self.path / entry.file
        try:
            digest = _sha256(file, advance)
        except OSError as error:
            return [_unreadable(file, error, number)]
        if digest == entry.sha256:
            return _label_problems(file, number, shard.label, len(self.opened.class_names))
        records = damaged_records(shard)
        if not records.size:
            text = f"{file} was changed outside of its records: copy it again"
            return [DamagedDataSetError("shard-hash", text, shard=number)]
        return [
            DamagedDataSetError("record-crc", f"{file}: record {i} is damaged: copy it again", shard=number, record=i)
            for i in records.tolist()
        ]


def _read_everything(looks: Sequence[_Look], progress: Progress) -> None:
    """Read all shards that could be opened, and note what is wrong with their bytes and their meaning."""
    tasks = [(look, number) for look in looks for number in look.shards]
    total = sum(look.opened.shards[number].bytes for look, number in tasks)
    advance = _Counter(total, progress)
    # Threads are enough: Python lets go of the interpreter while it hashes. The largest shards go first, so that no
    # thread is left with one of them at the end.
    order = sorted(range(len(tasks)), key=lambda i: -tasks[i][0].opened.shards[tasks[i][1]].bytes)
    checked = on_all_cores(lambda i: tasks[i][0].check_bytes(tasks[i][1], advance), order, at_most=_THREADS)
    found = dict(zip(order, checked, strict=True))
    for i, (look, number) in enumerate(tasks):
        look.problems += found[i]
        if found[i]:
            # What is damaged has told what it has to tell.
            del look.shards[number]
    for look in looks:
        for first, place in _common_ids([{number: shard.id for number, shard in look.shards.items()}]):
            files = [look.path / entry.file for entry in look.opened.shards]
            look.problems.append(_common_record([files], first, place))


class _Counter:
    """Adds up the bytes that several threads have read."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()
        progress(0, total)

    def __call__(self, more: int) -> None:
        with self._lock:
            self._done += more
            self._progress(self._done, self._total)


def _sha256(path: Path, advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
            advance(size)
    return digest.hexdigest()


def _strangers(path: Path, names: Sequence[str]) -> list[DamagedDataSetError]:
    texts = [f"{path / name} does not belong into a data set: remove it" for name in names]
    return [DamagedDataSetError("stranger", text) for text in texts]


def _label_problems(file: Path, number: int, label: NDArray[np.int32], num_classes: int) -> list[DamagedDataSetError]:
    outside = np.flatnonzero((label < 0) | (label >= num_classes))
    return [
        DamagedDataSetError(
            "label",
            f"{file}: record {i} has label {label[i]}, outside 0..{num_classes - 1}: ask for it anew",
            shard=number,
            record=i,
        )
        for i in outside.tolist()
    ]


Place = tuple[int, int, int]
"""Which data set, shard and record."""


def _common_ids(data_sets: Sequence[Mapping[int, NDArray[np.uint8]]]) -> list[tuple[Place, Place]]:
    """Find records with one id in ids of shards by number: each that comes again, after the first that has it."""
    places = [(i, number, len(ids)) for i, shards in enumerate(data_sets) for number, ids in shards.items()]
    if not sum(count for _, _, count in places):
        return []
    ids = np.concatenate([one for shards in data_sets for one in shards.values()])
    halves = ids.view("<u8").reshape(-1, layout.ID_BYTES // 8)
    # Ids are random, so hardly two agree in their first half; those that do are compared one by one.
    order = np.argsort(halves[:, 0], kind="stable")
    agree = halves[order[1:], 0] == halves[order[:-1], 0]
    candidates = np.sort(order[np.concatenate([agree, [False]]) | np.concatenate([[False], agree])])
    firsts = np.cumsum([0, *(count for _, _, count in places)])
    seen: dict[bytes, Place] = {}
    found = []
    for i in candidates.tolist():
        piece = int(np.searchsorted(firsts, i, side="right")) - 1
        place = (places[piece][0], places[piece][1], i - int(firsts[piece]))
        first = seen.setdefault(ids[i].tobytes(), place)
        if first != place:
            found.append((first, place))
    return found


def _common_record(files: Sequence[Sequence[Path]], first: Place, place: Place) -> DamagedDataSetError:
    one, other = (files[at[0]][at[1]] for at in (first, place))
    text = f"{other}: record {place[2]} has the id of record {first[2]} of {one}"
    return DamagedDataSetError("id", text, shard=place[1], record=place[2])


def _refuse_twins(looks: Sequence[_Look]) -> None:
    """Raise `DataError` if two data sets have one id."""
    seen: dict[str, Path] = {}
    for look in looks:
        if look.opened.id in seen:
            hint = "" if look.opened.keys == "disposable" else "; clients that share a seed need names of their own"
            raise DataError(f"{look.path} is the same data set as {seen[look.opened.id]}: give it once{hint}")
        seen[look.opened.id] = look.path


def _raise_first(looks: Sequence[_Look]) -> None:
    for look in looks:
        if look.problems:
            raise look.problems[0]


def _unreadable(path: Path, error: OSError, number: int | None = None) -> DamagedDataSetError:
    return DamagedDataSetError("unreadable", f"{path} cannot be read: {error.strerror or error}", shard=number)
