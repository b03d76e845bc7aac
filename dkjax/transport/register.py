"""What a server has accepted and what was withdrawn, in a hidden folder beside the data sets."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import DataError
from dkjax.runtime.files import alone_in, read_json, sync, whole_file, write_json

_FOLDER, _QUARANTINE = ".received", "quarantine"


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A data set that was accepted.

    Attributes:
        slot: where in the store it was.
        client: the pseudonym.
        key: the client's public key.
        data_set: its id.
        commit: the SHA-256 of its manifest, which determines every byte.
        records: how many images.
        folder: its name below the folder of the data sets.
        date: when it was accepted.
    """

    slot: str
    client: str
    key: str
    data_set: str
    commit: str
    records: int
    folder: str
    date: str


class Register:
    """The register of one folder of data sets.

    Args:
        into: the folder, made if it is missing.
    """

    def __init__(self, into: Path) -> None:
        self.into = into
        self.path = into / _FOLDER
        (self.path / "accepted").mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Work with the register while no other process does."""
        with alone_in(self.path, "--into"):
            yield

    def accepted(self, *, gone: bool = False) -> list[Accepted]:
        """Return what was accepted and is still there, by slot; with `gone`, also what somebody has removed since."""
        every = [_accepted(path) for path in sorted((self.path / "accepted").glob("*.json"))]
        return [one for one in every if gone or (self.into / one.folder).is_dir()]

    def accept(self, one: Accepted, quarantined: Path, prints: dict[str, NDArray[np.uint64]]) -> None:
        """Move a data set from quarantine to its place; stopped at any point, the same call completes."""
        with whole_file(self.path / f"{one.data_set}.npz") as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **prints)  # type: ignore[arg-type]
        for path in quarantined.iterdir():
            sync(path)
        sync(quarantined)
        target = self.into / one.folder
        if target.exists():
            shutil.rmtree(target)
        quarantined.rename(target)
        sync(self.into)
        write_json(self.path / "accepted" / f"{one.slot}.json", dataclasses.asdict(one))

    def quarantine(self, slot: str) -> Path:
        """Return an empty folder in which nothing is trained on."""
        path = self.path / _QUARANTINE / f"{slot}.dkds"
        self.release(slot)
        path.mkdir(parents=True)
        return path

    def release(self, slot: str) -> None:
        """Remove what is in quarantine."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path / _QUARANTINE / f"{slot}.dkds")

    def prints(self, name: str) -> NDArray[np.uint64]:
        """Return the fingerprints of the images, or the ids of the records, of all that was accepted."""
        known = {one.data_set for one in self.accepted()}
        found = [np.zeros(0, np.uint64)]
        for path in sorted(self.path.glob("*.npz")):
            if path.stem in known:
                with np.load(path, allow_pickle=False) as file:
                    found.append(file[name])
        return np.concatenate(found)

    def withdrawn(self) -> dict[str, Any]:
        """Return the tombstones: what was withdrawn, by client."""
        return {path.stem: read_json(path) for path in sorted((self.path / "withdrawn").glob("*.json"))}

    def withdraw(self, client: str, slots: list[str], date: str) -> list[Accepted]:
        """Remove the data sets of a client and leave a tombstone; returns what was removed.

        The tombstone is written first: stopped at any point, nothing returns, and the same call completes.
        """
        gone = [one for one in self.accepted(gone=True) if one.client == client]
        before = self.withdrawn().get(client) or {"data_sets": [], "slots": [], "commits": []}
        tombstone = {
            "client": client,
            "date": date,
            "data_sets": sorted({*before["data_sets"], *(one.data_set for one in gone)}),
            "commits": sorted({*before["commits"], *(one.commit for one in gone)}),
            "slots": sorted({*before["slots"], *slots, *(one.slot for one in gone)}),
        }
        (self.path / "withdrawn").mkdir(exist_ok=True)
        write_json(self.path / "withdrawn" / f"{client}.json", tombstone)
        for one in gone:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.into / one.folder)
            (self.path / f"{one.data_set}.npz").unlink(missing_ok=True)
            (self.path / "accepted" / f"{one.slot}.json").unlink(missing_ok=True)
        for slot in tombstone["slots"]:
            self.release(slot)
        sync(self.into)
        return gone


def _accepted(path: Path) -> Accepted:
    try:
        return Accepted(**(read_json(path) or {}))
    except (ValueError, TypeError):
        raise DataError(f"{path} is damaged: remove it, and dkjax ingest takes the data set again") from None
