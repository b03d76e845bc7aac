"""What a client has sealed and sent so far: a ledger of bytes, from which an upload goes on after any stop.

Beside it are, until the manifest was taken, the seeds from which pieces can be sealed again to the same bytes, and the
sealed manifest: other bytes would not be recognised in the store. Keeping the pieces themselves would take the space of
the data set, and a tenth of the time.
"""

import contextlib
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
from dkjax.runtime.ledger import LEDGER, entry, whole_lines
from dkjax.transport.sealed_set import SealedPiece

_SEEDS = "seeds.jsonl"
_MANIFEST = "manifest"


class Journal:
    """The ledger of one upload, in a folder beside the data set.

    Each line is an event: `sealed` (its bytes are fixed: name, hash, length), `sent` (the store took it; in the form of
    all ledgers), `found` (the store had it already), `failed` (bytes that may have been sent in vain).

    Args:
        folder: for the ledger and the seeds; made if it is missing.
        about: ticket and data set; a ledger of others is refused.
        client: whose upload it is.

    Attributes:
        pieces: what is sealed or sent, by number of the file and of the piece.
        seeds: of the pieces that are not sent, likewise.
        sent: the names of the objects that the store has.
        complete: whether the manifest was taken, too.

    Raises:
        DataError: the folder holds the ledger of something else.
    """

    def __init__(self, folder: Path, about: dict[str, str], client: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder, self._client = folder, client
        self._lock = threading.Lock()
        self.pieces: dict[tuple[int, int], SealedPiece] = {}
        self.seeds: dict[tuple[int, int], bytes] = {}
        self.sent: set[str] = set()
        self.manifest: SealedPiece | None = None
        self.complete = False
        self._read(about)
        self._file = open(folder / LEDGER, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        if self._fresh:
            self._write({"event": "begun", **about})
        self._drop_lost()
        self._seeds = open(folder / _SEEDS, "a", encoding="utf-8", opener=_private)  # noqa: SIM115 (closed by `close`)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._seeds.close()

    def keep(self, place: tuple[int, int], piece: SealedPiece, seed: bytes) -> None:
        """Note what a piece is when it is sealed, and how to seal it again, before any of it is sent.

        Args:
            place: number of the file and of the piece.
            piece: what it is.
            seed: of `seal`.
        """
        with self._lock:
            self._seeds.write(json.dumps({"piece": place, "seed": seed.hex()}) + "\n")
            self._seeds.flush()
            self.pieces[place], self.seeds[place] = piece, seed
            self._write({"event": "sealed", "piece": place, **piece.model_dump()})

    def keep_manifest(self, sealed: bytes | memoryview) -> SealedPiece:
        """Keep the sealed manifest until the store has it.

        Args:
            sealed: its bytes.

        Returns:
            What it is.
        """
        digest = hashlib.sha256(sealed).hexdigest()
        piece = SealedPiece(object=f"{digest}.age", sha256=digest, bytes=len(sealed))
        (self._folder / piece.object).write_bytes(sealed)
        with self._lock:
            self.manifest = piece
            self._write({"event": "sealed", "piece": _MANIFEST, **piece.model_dump()})
        return piece

    def kept(self, manifest: SealedPiece) -> bytes:
        """Return the bytes of a sealed manifest that the store may not have yet."""
        return (self._folder / manifest.object).read_bytes()

    def took(
        self, piece: SealedPiece, event: str, seconds: float, cpu_seconds: float, *, manifest: bool = False
    ) -> None:
        """Note that the store has an object.

        Args:
            piece: which.
            event: `sent`, or `found` where the store had it already.
            seconds: how long it took to seal and send it.
            cpu_seconds: likewise, of the thread that did.
            manifest: whether it is the manifest.
        """
        with self._lock:
            sent = piece.bytes if event == "sent" else 0
            self._write(entry(event, self._client, sent, seconds, cpu_seconds, object=piece.object))
            self.sent.add(piece.object)
            self.complete = self.complete or manifest

    def failed(self, piece: SealedPiece, reason: str) -> None:
        """Note an attempt after which the store may or may not have an object."""
        with self._lock:
            self._write({"event": "failed", "object": piece.object, "bytes": piece.bytes, "reason": reason})

    def remove(self) -> None:
        """Remove seeds and the sealed manifest; the ledger stays."""
        for path in self._folder.iterdir():
            if path.name not in (LEDGER, LOCK):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        self._file.flush()

    def _read(self, about: dict[str, str]) -> None:
        lines = whole_lines(self._folder / LEDGER)
        self._fresh = not lines
        for number, line in enumerate(lines):
            event = json.loads(line)
            if number == 0:
                if {name: event.get(name) for name in about} != about:
                    raise DataError(f"{self._folder} belongs to another upload: remove it if that is over")
            elif event["event"] == "sealed":
                piece = SealedPiece(object=event["object"], sha256=event["sha256"], bytes=event["bytes"])
                if event["piece"] == _MANIFEST:
                    self.manifest = piece
                else:
                    self.pieces[event["piece"][0], event["piece"][1]] = piece
            elif event["event"] in ("sent", "found"):
                self.sent.add(event["object"])
        self.complete = self.manifest is not None and self.manifest.object in self.sent

    def _drop_lost(self) -> None:
        """Forget what was sealed and not sent, where it cannot be made again: then nothing of it was sent, either."""
        for line in whole_lines(self._folder / _SEEDS):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged by a stop of the machine
                kept = json.loads(line)
                self.seeds[kept["piece"][0], kept["piece"][1]] = bytes.fromhex(kept["seed"])
        self.pieces = {
            place: piece for place, piece in self.pieces.items() if piece.object in self.sent or place in self.seeds
        }
        if self.manifest is not None and not self.complete and not self._is_kept(self.manifest):
            self.manifest = None
        for path in self._folder.glob("*.age"):
            if self.manifest is None or path.name != self.manifest.object:
                path.unlink()

    def _is_kept(self, manifest: SealedPiece) -> bool:
        try:
            return hashlib.sha256(self.kept(manifest)).hexdigest() == manifest.sha256
        except FileNotFoundError:
            return False


def _private(path: str, flags: int) -> int:
    """Open a file that its owner alone can read."""
    return os.open(path, flags, mode=0o600)
