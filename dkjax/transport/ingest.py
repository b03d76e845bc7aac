"""What the server takes from the store: into quarantine, opened, checked, and only then among its data sets."""

import collections
import dataclasses
import functools
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dkjax.dkds import EncryptedDataSet, open_data_set
from dkjax.dkds.data_set import read_manifest
from dkjax.dkds.disclosure import warnings_of
from dkjax.dkds.layout import is_packed
from dkjax.dkds.packed import unpack_in_place
from dkjax.dkds.verify import verify
from dkjax.errors import DataError, DkjaxError
from dkjax.formats.strict_json import one_line
from dkjax.runtime.ledger import LEDGER, Ledger, timed
from dkjax.transport.age import sealed_length, unseal
from dkjax.transport.pace import stopping_pool, with_retries
from dkjax.transport.register import Accepted, Register
from dkjax.transport.report import write_report
from dkjax.transport.sanity import Limits, check_images
from dkjax.transport.sealed_set import (
    DKDS_COMMIT,
    MAX_SEALED_LIST_BYTES,
    SealedFile,
    SealedPiece,
    SealedSet,
    read_list,
    recipe_of,
)
from dkjax.transport.server_keys import ServerKeys
from dkjax.transport.signature import fingerprint
from dkjax.transport.store import MANIFEST, REPORT, Store
from dkjax.transport.store_errors import StoreError
from dkjax.transport.ticket import CLOCK_SECONDS, Ticket, moment, now, require_fits, stamp

_THREADS = 4
_MOST_OBJECTS = 1 << 18
"""More than a list can name."""
_STANZAS = 4096
"""The bytes of further recipients that another writer of age may put into a header."""

Status = Literal["accepted", "kept", "refused", "incomplete", "waiting", "withdrawn", "unreachable"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one ticket.

    Attributes:
        client: the pseudonym.
        slot: its folder in the store.
        status: `accepted` now; `kept` from before; `refused`; `incomplete`, objects are missing; `waiting`, nothing is
            there; `withdrawn`; `unreachable`, the store did not answer.
        reason: why, on one line; empty where all is well.
        data_set: the id, where it is known.
        records: how many images, where it is known.
        folder: the data set, where there is one.
        key: the fingerprint of the client's key, where the signature is right.
        images: what is odd about its images, which the client is told, too.
        notes: what the server's operator should know, and nobody else.
    """

    client: str
    slot: str
    status: Status
    reason: str = ""
    data_set: str | None = None
    records: int | None = None
    folder: str | None = None
    key: str | None = None
    images: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ingest(
    store: Store,
    register: Register,
    keys: ServerKeys,
    identities: Sequence[object],
    *,
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
    tell: Callable[[Verdict], None] = lambda verdict: None,
    attempts: int = 8,
) -> list[Verdict]:
    """Take what the store has for every ticket that was issued.

    Args:
        store: where clients put what they send.
        register: of the folder of data sets.
        keys: the server's; tickets that are not kept with them count for nothing.
        identities: what opens sealed files.
        limits: on images that are none.
        tell: called with each verdict.
        attempts: how often the store is asked, in all.

    Returns:
        A verdict for each ticket.

    Guarantees:
        - one client's data never keep another's from being taken, whatever they are
          (`test_ingest.py::test_a_hostile_client_blocks_nobody`).
        - what was changed in any byte is refused (`test_ingest.py::test_damage_is_refused`).
        - killed at any point, the same call completes; nothing is lost, and nothing accepted twice
          (`test_ingest.py::test_killed_at_any_point`).
        - `ledger.jsonl` among the data sets has what was received of each client (`test_ingest.py::test_the_ledger`).
    """
    verdicts = []
    with register.held():
        ledger = Ledger(register.into / LEDGER)
        for slot, ticket in keys.tickets().items():
            taking = _Taking(store, register, ticket, identities, limits, attempts)
            with timed() as took:
                verdict = taking.verdict()
            if taking.received_bytes:
                known = {} if verdict.data_set is None else {"data_set": verdict.data_set}
                ledger.write(
                    "received",
                    ticket.client,
                    taking.received_bytes,
                    took.seconds,
                    took.cpu_seconds,
                    **known,
                    status=verdict.status,
                )
            if taking.sealed_set is not None and verdict.status in ("accepted", "refused"):
                report = write_report(verdict, taking.sealed_set.public_key, keys.signing)
                try:
                    with_retries(functools.partial(store.put, f"{slot}/{REPORT}", report), attempts=attempts)
                except StoreError as error:
                    note = f"the report could not be written: {error}"
                    verdict = dataclasses.replace(verdict, notes=(*verdict.notes, note))
            verdicts.append(verdict)
            tell(verdict)
    return verdicts


class _Taking:
    """One ticket's data set on its way in."""

    def __init__(
        self,
        store: Store,
        register: Register,
        ticket: Ticket,
        identities: Sequence[object],
        limits: Limits,
        attempts: int,
    ) -> None:
        self._store, self._register, self._ticket = store, register, ticket
        self._identities, self._limits, self._attempts = identities, limits, attempts
        self.sealed_set: SealedSet | None = None
        self._notes: list[str] = []
        self._images: list[str] = []
        self.received_bytes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def verdict(self) -> Verdict:
        """Take it, and say what became of it; raises nothing, whatever was sent."""
        ticket = self._ticket
        try:
            found = self._take()
        except StoreError as error:
            found = Verdict(ticket.client, ticket.slot, "unreachable", str(error))
        except DkjaxError as error:
            found = Verdict(ticket.client, ticket.slot, "refused", one_line(str(error), 500))
        except (Exception, RecursionError) as error:
            reason = f"it cannot be read: {type(error).__name__}: {one_line(str(error))}"
            found = Verdict(ticket.client, ticket.slot, "refused", reason)
        finally:
            self._register.release(ticket.slot)
        known = self.sealed_set
        if known is not None and found.status != "kept":
            found = dataclasses.replace(
                found, data_set=known.data_set, records=known.records, key=fingerprint(known.public_key)
            )
        return dataclasses.replace(found, images=tuple(self._images), notes=tuple(self._notes))

    def _take(self) -> Verdict:
        ticket, slot = self._ticket, self._ticket.slot
        tombstone = self._register.withdrawn().get(ticket.client)
        if tombstone is not None and slot in tombstone["slots"]:
            return Verdict(ticket.client, slot, "withdrawn", f"withdrawn on {tombstone['date']}")
        for one in self._register.accepted():
            if one.slot == slot:
                return Verdict(
                    one.client, slot, "kept", "", one.data_set, one.records, str(self._register.into / one.folder)
                )
        sealed = self._fetched(f"{slot}/{MANIFEST}", MAX_SEALED_LIST_BYTES)
        if sealed is None:
            some = len(self._asked(self._objects))
            if some:
                return Verdict(ticket.client, slot, "incomplete", f"{some} objects are there, {MANIFEST} is not yet")
            return Verdict(ticket.client, slot, "waiting", "nothing was sent yet")
        found = read_list(unseal(sealed, self._identities))
        self._require_for_ticket(found)
        self.sealed_set = found
        sizes = {name.rpartition("/")[2]: size for name, size in self._asked(self._objects)}
        if missing := [piece.object for piece in found.pieces if piece.object not in sizes]:
            return Verdict(
                ticket.client, slot, "incomplete", f"{len(missing)} objects are missing, such as {missing[0]}"
            )
        self._require_bounded(found, sizes)
        path = self._register.quarantine(slot)
        self._open_into(path, found)
        data_set = self._checked(path, found)
        return self._accept(path, data_set, found)

    def _require_for_ticket(self, found: SealedSet) -> None:
        """Refuse what is signed for another ticket, by another key, or too late."""
        ticket = self._ticket
        if found.ticket != ticket.id:
            raise DataError("it is signed for another ticket than the one whose place it is in")
        if found.ticket_sha256 != ticket.sha256:
            raise DataError("the client's ticket was not the one that was issued: send it again")
        if found.client != ticket.client:
            raise DataError(f"it is from {found.client}, but the ticket is for {ticket.client}")
        earlier = {one.key for one in self._register.accepted(gone=True) if one.client == ticket.client}
        expected = {ticket.client_key} if ticket.client_key else earlier
        if expected and found.public_key not in expected:
            raise DataError(
                f"it is signed by the key {fingerprint(found.public_key)}, which is not the key of {ticket.client}"
            )
        if others := sorted(
            {one.client for one in self._register.accepted() if one.key == found.public_key} - {ticket.client}
        ):
            self._notes.append(f"the same key has signed for {others[0]}")
        if not expected:
            self._notes.append(
                f"first data set of {ticket.client}: compare the fingerprint of its key with what the site says"
            )
        taken = self._asked(lambda: self._store.head(f"{ticket.slot}/{MANIFEST}"))
        assert taken is not None  # it was read a moment ago
        if taken.modified > moment(ticket.expires):
            raise DataError(
                f"it was put there at {stamp(taken.modified)}, after the ticket had expired at {ticket.expires}"
            )
        wrong = (moment(found.sealed) - taken.modified).total_seconds()
        if abs(wrong) > CLOCK_SECONDS:
            words = "ahead" if wrong > 0 else "behind"
            self._notes.append(
                f"by the client's clock it was sealed at {found.sealed}, by the store's put there at "
                f"{stamp(taken.modified)}: one of the two is {words} (a folder copied later explains it, too)"
            )

    def _require_bounded(self, found: SealedSet, sizes: dict[str, int]) -> None:
        ticket = self._ticket
        if found.records > ticket.max_images:
            raise DataError(f"it has {found.records:,} images, but the ticket allows {ticket.max_images:,}")
        if found.piece_bytes != ticket.piece_bytes:
            raise DataError(
                f"its pieces are of {found.piece_bytes:,} bytes, but the ticket says {ticket.piece_bytes:,}"
            )
        if (total := sum(piece.bytes for piece in found.pieces)) > ticket.max_bytes:
            raise DataError(f"it has {total:,} bytes, but the ticket allows {ticket.max_bytes:,}")
        for one in found.files:
            for piece, plain in _with_lengths(one, found.piece_bytes):
                sealed = sealed_length(plain, len(ticket.recipients))
                if not plain < piece.bytes <= sealed + _STANZAS:
                    raise DataError(f"{piece.object} would be a piece of {plain:,} bytes in {piece.bytes:,}")
                if sizes[piece.object] != piece.bytes:
                    raise DataError(
                        f"{piece.object} has {sizes[piece.object]:,} bytes in the store, not {piece.bytes:,}"
                    )

    def _open_into(self, path: Path, found: SealedSet) -> None:
        """Fetch and open all pieces, a few at a time, and put the files together."""
        with stopping_pool(_THREADS, self._stop) as pool:
            for one in found.files:
                whole = hashlib.sha256()
                ahead: collections.deque[Future[bytes]] = collections.deque()
                with open(path / one.file, "xb") as file:
                    for piece, plain in _with_lengths(one, found.piece_bytes):
                        ahead.append(pool.submit(self._piece, piece, plain))
                        if len(ahead) > _THREADS:
                            _append(ahead.popleft().result(), file, whole)
                    while ahead:
                        _append(ahead.popleft().result(), file, whole)
                if whole.hexdigest() != one.sha256:
                    raise DataError(f"{one.file} is not what was signed")
        (path / DKDS_COMMIT).write_text(found.files[0].sha256 + "\n")

    def _piece(self, piece: SealedPiece, plain: int) -> bytes:
        data = self._fetched(f"{self._ticket.slot}/{piece.object}", piece.bytes)
        if data is None or hashlib.sha256(data).hexdigest() != piece.sha256:
            raise DataError(f"{piece.object} is not what was signed: it was changed or damaged on its way")
        opened = unseal(data, self._identities)
        if len(opened) != plain:
            raise DataError(f"{piece.object} holds {len(opened):,} bytes, not {plain:,}")
        return opened

    def _checked(self, path: Path, found: SealedSet) -> EncryptedDataSet:
        """Check every byte of the data set in quarantine, and that it is what the ticket asks for."""
        if is_packed(path):
            self._unpack(path, found)
        report = verify(path)
        if report.problems or report.manifest is None:
            first = str(report.problems[0]).replace(str(path), "the data set")
            raise DataError(f"{len(report.problems)} problems, first: {first}")
        manifest = report.manifest
        if (manifest.id, manifest.client, manifest.records) != (found.data_set, found.client, found.records):
            raise DataError("its manifest says another id, client or count than was signed")
        require_fits(self._ticket, recipe_of(manifest.model_dump(mode="json")), manifest.records, "the data set")
        gone = [name for name, one in self._register.withdrawn().items() if manifest.id in one["data_sets"]]
        if gone:
            raise DataError(f"this data set was withdrawn by {gone[0]}, and does not return")
        if any(manifest.id == one.data_set for one in self._register.accepted()):
            raise DataError("this data set was accepted before, for another ticket")
        self._notes += warnings_of(manifest)
        return open_data_set(path)

    def _unpack(self, path: Path, found: SealedSet) -> None:
        """Unpack a data set in quarantine, once it is known to be no larger than the ticket allows."""
        manifest = read_manifest(path)
        require_fits(self._ticket, recipe_of(manifest.model_dump(mode="json")), manifest.records, "the data set")
        if len(manifest.shards) != len(found.files) - 1:
            raise DataError(f"its manifest names {len(manifest.shards)} shards, but {len(found.files) - 1} were signed")
        try:
            unpack_in_place(path, manifest)
        except DataError as error:
            raise DataError(str(error).replace(f"{path}/", "")) from None

    def _accept(self, path: Path, data_set: EncryptedDataSet, found: SealedSet) -> Verdict:
        sanity = check_images(data_set, self._register.prints("images"), self._limits)
        ids = np.concatenate([shard.id.view("<u8")[:, 0] for shard in data_set.shards]).astype(np.uint64)
        if np.isin(ids, self._register.prints("records")).any():
            raise DataError("a record has the id of one that was accepted before")
        for count, words, told in (
            (sanity.constant, "have one value alone", self._images),
            (sanity.duplicates, "are there more than once", self._images),
            # A client that was told would learn what others have.
            (sanity.elsewhere, "are in a data set that was accepted before", self._notes),
        ):
            if count:
                told.append(f"{count:,} of {found.records:,} images {words}")
        accepted = Accepted(
            slot=self._ticket.slot,
            client=found.client,
            key=found.public_key,
            data_set=found.data_set,
            commit=found.files[0].sha256,
            records=found.records,
            folder=f"{found.client}-{found.data_set[:8]}.dkds",
            date=stamp(now()),
        )
        self._register.accept(accepted, path, {"images": sanity.prints, "records": ids})
        return Verdict(found.client, self._ticket.slot, "accepted", folder=str(self._register.into / accepted.folder))

    def _fetched(self, name: str, at_most: int) -> bytes | None:
        data: bytes | None = self._asked(lambda: self._store.get(name, at_most))
        with self._lock:
            self.received_bytes += len(data or b"")
        return data

    def _objects(self) -> list[tuple[str, int]]:
        return list(itertools.islice(self._store.list(self._ticket.slot), _MOST_OBJECTS))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        return with_retries(ask, attempts=self._attempts, stop=self._stop)


def _with_lengths(one: SealedFile, piece_bytes: int) -> Iterator[tuple[SealedPiece, int]]:
    """Each piece of a file, and how many bytes of the file it holds."""
    for number, piece in enumerate(one.pieces):
        yield piece, min(piece_bytes, one.bytes - number * piece_bytes)


def _append(data: bytes, file: Any, whole: Any) -> None:
    file.write(data)
    whole.update(data)
