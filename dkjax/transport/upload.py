"""A data set on its way to the store: sealed and sent piece by piece, several at a time, resumable."""

import contextlib
import dataclasses
import datetime
import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from io import FileIO
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dkjax.errors import DataError, TransportError
from dkjax.runtime.files import alone_in
from dkjax.transport.age import seal, sealed_length
from dkjax.transport.journal import Journal
from dkjax.transport.pace import Pace, stopping_pool, with_retries
from dkjax.transport.sealed_set import MAX_SEALED_LIST_BYTES, LocalSet, SealedPiece, open_local, sign_list
from dkjax.transport.signature import fingerprint, public_key_of
from dkjax.transport.store import MANIFEST, PresignedStore, Store, Writer, place_of
from dkjax.transport.ticket import CLOCK_SECONDS, Ticket, now, require_fits, require_valid_now, stamp

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and all bytes, before sealing."""


@dataclasses.dataclass(frozen=True)
class Uploaded:
    """What an upload did.

    Attributes:
        slot: the folder in the store.
        data_set: the id of the data set.
        records: how many images.
        bytes: of all objects.
        sent_bytes: sent by this call.
        objects: how many there are, the manifest not counted.
        seconds: how long this call took.
        fingerprint: of the client's key.
        already: whether everything had been sent before.
        notes: what a person should know.
    """

    slot: str
    data_set: str
    records: int
    bytes: int
    sent_bytes: int
    objects: int
    seconds: float
    fingerprint: str
    already: bool
    notes: tuple[str, ...]


def upload(
    path: Path,
    ticket: Ticket,
    key: Ed25519PrivateKey,
    *,
    to: str | None = None,
    threads: int = 4,
    bytes_per_second: float | None = None,
    progress: Progress = lambda done, total: None,
    open_writer: Callable[[Ticket, str | None], Writer] | None = None,
) -> Uploaded:
    """Seal a data set to the server's keys and put it where a ticket says.

    Memory is three pieces of 8 MiB for each thread. Stopped at any point, the same call goes on: what the store has is
    not sent again. The manifest is written last, so the server sees all of it or nothing.

    Args:
        path: the folder `NAME.dkds`.
        ticket: what the server asks for, and where.
        key: the client's; it signs.
        to: another store or folder, such as one to be copied by rsync or sftp later.
        threads: how many pieces are sent at a time.
        bytes_per_second: a limit on what is sent, in the mean over some pieces.
        progress: called as bytes are done.
        open_writer: opens the store; for tests.

    Returns:
        What was done.

    Raises:
        DataError: the ticket is not valid now, is for another key, or was used; the data set is damaged or is not what
            the ticket asks for.
        StoreError: the store did not do its part.

    Guarantees:
        - killed at any point, the same call completes, and sends nothing again that the store had acknowledged
          (`test_sending.py::test_killed_at_any_point`).
        - nothing in the store is overwritten (`test_sending.py::test_nothing_is_overwritten`).
        - what leaves the client is sealed: no stretch of the data set appears in it
          (`test_sending.py::test_the_store_sees_nothing`).
    """
    began = time.monotonic()
    require_valid_now(ticket, now())
    public_key = public_key_of(key)
    if ticket.client_key not in (None, public_key):
        raise DataError(
            f"the ticket is for another key of {ticket.client}: name it with --key, or ask for a new ticket"
        )
    data_set = open_local(path)
    if data_set.client != ticket.client:
        raise DataError(
            f"{path} is from {data_set.client}, but the ticket is for {ticket.client}: "
            f"encrypt with --client {ticket.client}, or use the other ticket"
        )
    require_fits(ticket, data_set.recipe, data_set.records, path)
    _require_room(data_set, ticket)
    writer = (open_writer or open_ticket_store)(ticket, to)
    folder = path.with_name(f"{path.stem}.upload-{ticket.slot[:8]}")
    about = {"slot": ticket.slot, "data_set": data_set.id, "store": writer.name, "key": public_key}
    folder.mkdir(mode=0o700, exist_ok=True)
    with alone_in(folder, "data set"):
        journal = Journal(folder, about, ticket.client)
        try:
            sending = _Sending(data_set, ticket, writer, journal, bytes_per_second)
            already = journal.complete
            if not already:
                sending.refuse_used()
                sending.pieces(threads, progress)
                sending.manifest(key)
                journal.remove()
        finally:
            journal.close()
    pieces = journal.pieces.values()
    return Uploaded(
        slot=ticket.slot,
        data_set=data_set.id,
        records=data_set.records,
        bytes=sum(piece.bytes for piece in pieces),
        sent_bytes=sending.sent_bytes,
        objects=len(pieces),
        seconds=time.monotonic() - began,
        fingerprint=fingerprint(public_key),
        already=already,
        notes=tuple(sending.notes),
    )


def open_ticket_store(ticket: Ticket, to: str | None) -> Writer:
    """Open where a ticket says, or another store."""
    if to is not None:
        return Store(*place_of(to, {}))
    if ticket.place.presigned:
        return PresignedStore(ticket.place, ticket.slot)
    return Store(ticket.place.url, ticket.place.options)


class _Sending:
    """The objects of one upload, on their way."""

    def __init__(
        self, data_set: LocalSet, ticket: Ticket, writer: Writer, journal: Journal, bytes_per_second: float | None
    ) -> None:
        self._data_set, self._ticket, self._writer = data_set, ticket, writer
        self._journal = journal
        self._stop = threading.Event()
        self._memory = threading.local()
        self._pace = Pace(bytes_per_second, self._stop.wait)
        self._lock = threading.Lock()
        self._tried = {piece.object for piece in journal.pieces.values()}
        self._free = None
        if isinstance(writer, PresignedStore):
            names = [name.rpartition("/")[2] for name in writer.names]
            self._free = iter([name for name in names if name not in self._tried])
        self._clock_checked = False
        self.sent_bytes = 0
        self.notes: list[str] = []

    def refuse_used(self) -> None:
        """Raise `DataError` if the ticket's place holds a manifest that is not this upload's."""
        if self._journal.manifest is not None:
            return
        name = f"{self._ticket.slot}/{MANIFEST}"
        if with_retries(lambda: self._writer.get(name, MAX_SEALED_LIST_BYTES)) is not None:
            raise DataError(
                f"the ticket was used already: the store {self._writer.name} holds a data set for it; "
                "each data set needs a ticket of its own"
            )

    def pieces(self, threads: int, progress: Progress) -> None:
        """Seal and send all that is not sent yet."""
        total, done = self._data_set.bytes, 0
        progress(0, total)
        # Memory that is used again, since new memory would take longer than reading.
        free = [bytearray(self._ticket.piece_bytes) for _ in range(threads + 1)]
        running: dict[Future[None], tuple[bytearray, int]] = {}

        def settle(at_most: int) -> None:
            nonlocal done
            while len(running) > at_most:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    buffer, size = running.pop(future)
                    future.result()
                    free.append(buffer)
                    done += size
                    progress(done, total)

        with stopping_pool(threads, self._stop) as pool:
            for number, (name, size, digest) in enumerate(self._data_set.files):
                whole = hashlib.sha256()
                with open(self._data_set.path / name, "rb", buffering=0) as file:
                    for place in range(-(-size // self._ticket.piece_bytes)):
                        settle(threads)
                        buffer = free.pop()
                        plain = _read(file, buffer)
                        whole.update(plain)
                        running[pool.submit(self._piece, (number, place), plain)] = buffer, len(plain)
                if whole.hexdigest() != digest:
                    raise DataError(
                        f"{self._data_set.path / name} is damaged, so nothing is accepted: dkjax verify says where"
                    )
            settle(0)

    def manifest(self, key: Ed25519PrivateKey) -> None:
        """Sign, seal and send the list of what belongs together."""
        began, cpu = time.monotonic(), time.thread_time()
        sealed = self._journal.manifest
        if sealed is None:
            signed = sign_list(self._data_set, self._ticket, self._journal.pieces, key)
            sealed = self._journal.keep_manifest(seal(signed, self._ticket.recipients))
        kept = self._journal.kept(sealed)
        name = f"{self._ticket.slot}/{MANIFEST}"
        written = self._put(name, kept, sealed)
        if not written and with_retries(lambda: self._writer.get(name, MAX_SEALED_LIST_BYTES)) != kept:
            raise DataError(
                f"the ticket was used already: the store {self._writer.name} holds another data set for it; "
                "each data set needs a ticket of its own"
            )
        took = time.monotonic() - began, time.thread_time() - cpu
        self._journal.took(sealed, "sent" if written else "found", *took, manifest=True)

    def _piece(self, place: tuple[int, int], plain: memoryview) -> None:
        piece = self._journal.pieces.get(place)
        if piece is not None and piece.object in self._journal.sent:
            return
        if not hasattr(self._memory, "sealed"):
            self._memory.sealed = bytearray(sealed_length(self._ticket.piece_bytes, len(self._ticket.recipients)))
        began, cpu = time.monotonic(), time.thread_time()
        # What was sealed before is sealed to the same bytes: the store may have them already.
        seed = os.urandom(32) if piece is None else self._journal.seeds[place]
        sealed = seal(plain, self._ticket.recipients, self._memory.sealed, seed=seed)
        digest = hashlib.sha256(sealed).hexdigest()
        if piece is None:
            piece = SealedPiece(object=self._name(digest), sha256=digest, bytes=len(sealed))
            self._journal.keep(place, piece, seed)
        elif digest != piece.sha256:
            raise DataError(
                f"{self._data_set.path / self._data_set.files[place[0]][0]} has changed since its upload began, so "
                "nothing of it is sent: dkjax verify says where"
            )
        written = self._put(f"{self._ticket.slot}/{piece.object}", sealed, piece)
        # A presigned name that somebody else has taken; names from the content are only ever this content's.
        while not written and self._free is not None and piece.object not in self._tried:
            piece = piece.model_copy(update={"object": self._name(piece.sha256)})
            self._journal.keep(place, piece, seed)
            written = self._put(f"{self._ticket.slot}/{piece.object}", sealed, piece)
        took = time.monotonic() - began, time.thread_time() - cpu
        self._journal.took(piece, "sent" if written else "found", *took)
        self._check_clock(piece)

    def _put(self, name: str, data: bytes | memoryview, piece: SealedPiece) -> bool:
        def failed(error: TransportError) -> None:
            self._tried.add(piece.object)
            self._journal.failed(piece, str(error))

        self._pace.wait_for(len(data))
        written = with_retries(lambda: self._writer.put_new(name, data), on_failure=failed, stop=self._stop)
        with self._lock:
            self.sent_bytes += len(data) if written else 0
        return written

    def _name(self, digest: str) -> str:
        if self._free is None:
            return f"{digest}.age"
        with self._lock:
            name = next(self._free, None)
        if name is None:
            raise DataError(
                "the ticket has too few presigned URLs for this data set: write larger shards ([store] shard_images), "
                "or ask for a ticket with a higher --max-bytes"
            )
        return name

    def _check_clock(self, piece: SealedPiece) -> None:
        """Note once if this machine's clock and the store's differ."""
        with self._lock:
            if self._clock_checked:
                return
            self._clock_checked = True
        there = None
        with contextlib.suppress(TransportError):  # no reason to stop
            there = self._writer.clock(f"{self._ticket.slot}/{piece.object}")
        if there is not None and abs(behind := (there - now()).total_seconds()) > CLOCK_SECONDS:
            words = "behind" if behind > 0 else "ahead of"
            span = datetime.timedelta(seconds=round(abs(behind)))
            self.notes.append(
                f"this machine's clock is {span} {words} the store's ({stamp(there)}): set it; the ticket's expiry "
                "counts by the store's clock"
            )


def _require_room(data_set: LocalSet, ticket: Ticket) -> None:
    whole, recipients = ticket.piece_bytes, len(ticket.recipients)
    sealed = 0
    for _, size, _ in data_set.files:
        full, rest = divmod(size, whole)
        sealed += full * sealed_length(whole, recipients) + (sealed_length(rest, recipients) if rest else 0)
    if sealed > ticket.max_bytes:
        raise DataError(
            f"{data_set.path} would be {sealed:,} bytes when sealed, but the ticket allows {ticket.max_bytes:,}: "
            "send fewer images, or ask for a ticket with a higher --max-bytes"
        )


def _read(file: FileIO, buffer: bytearray) -> memoryview:
    """Fill a buffer, or as much of it as is left of the file."""
    view, size = memoryview(buffer), 0
    while size < len(view) and (more := file.readinto(view[size:])):
        size += more
    return view[:size]
