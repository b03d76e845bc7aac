"""What a client has sealed and sent so far: a ledger of bytes, from which an upload goes on after any stop.

Sealed bytes are kept beside it until the store has them: sealing again would give others, and nothing that the store
took could be recognised.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from dkjax.errors import DataError
from dkjax.runtime.files import LOCK
from dkjax.transport.sealed_set import SealedPiece

_JOURNAL = "ledger.jsonl"
_MANIFEST = "manifest"


class Journal:
    """The ledger of one upload, in a folder beside the data set.

    Each line is an event: `sealed` (an object exists here, its bytes are kept), `sent` (the store took it; bytes and
    seconds), `found` (the store had it already), `failed` (bytes that may have been sent in vain).

    Args:
        folder: for the ledger and the sealed bytes; made if it is missing.
        about: ticket and data set; a ledger of others is refused.

    Attributes:
        pieces: what is sealed or sent, by number of the file and of the piece.
        sent: the names of the objects that the store has.
        complete: whether the manifest was taken, too.

    Raises:
        DataError: the folder holds the ledger of something else.
    """

    def __init__(self, folder: Path, about: dict[str, str]) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self.pieces: dict[tuple[int, int], SealedPiece] = {}
        self.sent: set[str] = set()
        self.manifest: SealedPiece | None = None
        self.complete = False
        self._read(about)
        self._file = open(folder / _JOURNAL, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        if self._fresh:
            self._write({"event": "begun", **about})
        self._drop_lost()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def keep(self, place: tuple[int, int] | None, name: str, sealed: bytes | memoryview, digest: str) -> SealedPiece:
        """Keep sealed bytes until the store has them.

        Args:
            place: number of the file and of the piece; None for the manifest.
            name: of the object.
            sealed: its bytes.
            digest: their SHA-256.
        """
        piece = SealedPiece(object=name, sha256=digest, bytes=len(sealed))
        (self._folder / name).write_bytes(sealed)
        with self._lock:
            self._note(place, piece)
            self._write({"event": "sealed", "piece": place or _MANIFEST, **piece.model_dump()})
        return piece

    def kept(self, piece: SealedPiece) -> bytes:
        """Return the bytes of a piece that the store does not have yet."""
        return (self._folder / piece.object).read_bytes()

    def took(self, piece: SealedPiece, event: str, seconds: float, *, manifest: bool = False) -> None:
        """Note that the store has an object, and forget its bytes.

        Args:
            piece: which.
            event: `sent`, or `found` where the store had it already.
            seconds: how long it took.
            manifest: whether it is the manifest.
        """
        with self._lock:
            sent = piece.bytes if event == "sent" else 0
            self._write({"event": event, "object": piece.object, "bytes": sent, "seconds": round(seconds, 4)})
            self.sent.add(piece.object)
            self.complete = self.complete or manifest
        (self._folder / piece.object).unlink(missing_ok=True)

    def failed(self, piece: SealedPiece, reason: str) -> None:
        """Note an attempt after which the store may or may not have an object."""
        with self._lock:
            self._write({"event": "failed", "object": piece.object, "bytes": piece.bytes, "reason": reason})

    def remove(self) -> None:
        """Remove the sealed bytes; the ledger stays."""
        for path in self._folder.iterdir():
            if path.name not in (_JOURNAL, LOCK):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _note(self, place: tuple[int, int] | None, piece: SealedPiece) -> None:
        if place is None:
            self.manifest = piece
        else:
            self.pieces[place] = piece

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        self._file.flush()

    def _read(self, about: dict[str, str]) -> None:
        path = self._folder / _JOURNAL
        data = path.read_bytes() if path.exists() else b""
        # A killed process may have left half a line.
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            os.truncate(path, len(whole))
        self._fresh = not whole
        for number, line in enumerate(whole.splitlines()):
            event = json.loads(line)
            if number == 0:
                if {name: event.get(name) for name in about} != about:
                    raise DataError(f"{self._folder} belongs to another upload: remove it if that is over")
            elif event["event"] == "sealed":
                place = None if event["piece"] == _MANIFEST else (event["piece"][0], event["piece"][1])
                self._note(place, SealedPiece(object=event["object"], sha256=event["sha256"], bytes=event["bytes"]))
            elif event["event"] in ("sent", "found"):
                self.sent.add(event["object"])
        self.complete = self.manifest is not None and self.manifest.object in self.sent

    def _drop_lost(self) -> None:
        """Forget what was sealed and not sent, where its bytes are not those that were kept."""
        for place, piece in list(self.pieces.items()):
            if piece.object not in self.sent and not self._is_kept(piece):
                del self.pieces[place]
        if self.manifest is not None and not self.complete and not self._is_kept(self.manifest):
            self.manifest = None
        known = {piece.object for piece in [*self.pieces.values(), *([self.manifest] if self.manifest else [])]}
        for path in self._folder.glob("*.age"):
            if path.name not in known:
                path.unlink()

    def _is_kept(self, piece: SealedPiece) -> bool:
        try:
            return hashlib.sha256(self.kept(piece)).hexdigest() == piece.sha256
        except FileNotFoundError:
            return False
