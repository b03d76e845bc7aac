"""The sealed form of a data set: files cut into pieces, each sealed by itself, and a signed list of them."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from dkjax.errors import DataError
from dkjax.formats import strict_json
from dkjax.formats.frames import check_frames, sizes_of
from dkjax.runtime.files import sha256_of
from dkjax.transport.signature import canonical, is_signed, public_key_of, signed
from dkjax.transport.ticket import Count, Entry, Hex32, Hex64, Recipe, Ticket, Time, Word, first_problem, now, stamp

PURPOSE = "sealed data set"
MAX_LIST_BYTES = 16 << 20
MAX_SEALED_LIST_BYTES = MAX_LIST_BYTES + (1 << 20)
DKDS_MANIFEST, DKDS_COMMIT = "manifest.json", "COMMIT"

_Object = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}\.age$")]
_File = Annotated[str, Field(pattern=r"^(manifest\.json|shard-[0-9]{5,16}\.(safetensors|dkpack))$")]


class SealedPiece(Entry):
    """A stretch of a file, sealed: an object of the store.

    Attributes:
        object: its name.
        sha256: of the sealed bytes.
        bytes: of the sealed bytes.
    """

    object: _Object
    sha256: Hex64
    bytes: Count


class SealedFile(Entry):
    """A file of the data set; its pieces, opened and put together, are its bytes.

    Attributes:
        file: its name.
        sha256: of its bytes.
        bytes: how many.
        pieces: in order.
    """

    file: _File
    sha256: Hex64
    bytes: Count
    pieces: Annotated[list[SealedPiece], Field(min_length=1)]


class SealedSet(Entry):
    """What `manifest.age` holds: what belongs together, for which ticket, and who says so.

    Attributes:
        format: always `dkjax-sealed`.
        version: of the format.
        ticket: its id.
        ticket_sha256: the hash of the ticket as the client saw it.
        client: the pseudonym.
        data_set: the id of the data set.
        records: how many images.
        sealed: when it was finished, by the client's clock, in UTC.
        piece_bytes: the length of a piece before it was sealed; the last one of a file may be shorter.
        files: `manifest.json`, then the shards in order, all packed or none. COMMIT follows from the first.
        public_key: the client's.
        signature: the client's, over all other fields.
    """

    format: Literal["dkjax-sealed"]
    version: Literal[1]
    ticket: Hex32
    ticket_sha256: Hex64
    client: Word
    data_set: Hex32
    records: Count
    sealed: Time
    piece_bytes: Count
    files: Annotated[list[SealedFile], Field(min_length=2)]
    public_key: Hex64
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    @pydantic.model_validator(mode="after")
    def _agrees(self) -> "SealedSet":
        suffix = Path(self.files[1].file).suffix
        names = [DKDS_MANIFEST, *(f"shard-{number:05d}{suffix}" for number in range(len(self.files) - 1))]
        if [one.file for one in self.files] != names:
            raise ValueError("files: expected manifest.json and then the shards, counted from 0")
        for one in self.files:
            if len(one.pieces) != -(-one.bytes // self.piece_bytes):
                raise ValueError(f"{one.file}: {len(one.pieces)} pieces for {one.bytes} bytes")
        objects = [piece.object for one in self.files for piece in one.pieces]
        if len(set(objects)) != len(objects):
            raise ValueError("one object is named twice")
        return self

    @property
    def pieces(self) -> Iterator[SealedPiece]:
        """All pieces, in order."""
        for one in self.files:
            yield from one.pieces


@dataclasses.dataclass(frozen=True)
class LocalSet:
    """A data set on the client's disk, as far as sending it needs to know.

    Attributes:
        path: the folder.
        id: of the data set.
        client: the pseudonym in it.
        records: how many images.
        recipe: what it is.
        files: name, length and SHA-256 of each file, `manifest.json` first.
    """

    path: Path
    id: str
    client: str
    records: int
    recipe: Recipe
    files: tuple[tuple[str, int, str], ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(size for _, size, _ in self.files)


def open_local(path: Path) -> LocalSet:
    """Read what a data set says of itself, without JAX; its bytes are hashed while they are sealed.

    Of a packed data set, whose manifest has the hashes of what it unpacks to, the packed shards are read and checked.

    Args:
        path: the folder, `NAME.dkds`.

    Raises:
        DataError: it is no finished data set, or not what was written.

    Guarantees:
        - a damaged packed shard is refused before anything is sent
          (`test_packed_transport.py::test_damage_is_noticed_at_the_client`).
    """
    try:
        manifest = (path / DKDS_MANIFEST).read_bytes()
        commit = (path / DKDS_COMMIT).read_bytes()
    except OSError:
        raise DataError(f"{path} is no finished data set: expected a folder that dkjax encrypt wrote") from None
    digest = hashlib.sha256(manifest).hexdigest()
    if (path / ".plan.json").exists():
        raise DataError(f"{path} is not finished: run the dkjax encrypt that began it again")
    if commit != f"{digest}\n".encode():
        raise DataError(f"{path}: COMMIT does not belong to the manifest; dkjax verify says what is wrong")
    try:
        tree = strict_json.parse(manifest)
        found = LocalSet(
            path=path,
            id=_text(tree["id"], r"[0-9a-f]{32}"),
            client=_text(tree["client"], r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
            records=int(tree["records"]),
            recipe=recipe_of(tree),
            files=(
                (DKDS_MANIFEST, len(manifest), digest),
                *(
                    (_text(one["file"], r"shard-[0-9]{5,16}\.safetensors"), int(one["bytes"]), one["sha256"])
                    for one in tree["shards"]
                ),
            ),
        )
    except (ValueError, TypeError, KeyError, pydantic.ValidationError):
        raise DataError(
            f"{path / DKDS_MANIFEST} is no manifest of an encrypted data set: dkjax verify says why"
        ) from None
    if any(path.glob("shard-*.dkpack")):
        return dataclasses.replace(found, files=(found.files[0], *_packed_files(path, found.recipe, tree["shards"])))
    for name, size, _ in found.files:
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise DataError(f"{file} is missing, or has another length than the manifest says: copy it again")
    return found


def _packed_files(path: Path, recipe: Recipe, shards: list[dict[str, Any]]) -> Iterator[tuple[str, int, str]]:
    """Name, length and SHA-256 of each packed shard, after its checksums were compared."""
    sizes = sizes_of(recipe.image_shape, int(recipe.parameters["block_size"]))
    for number, one in enumerate(shards):
        file = path / f"shard-{number:05d}.dkpack"
        try:
            if check_frames(file, sizes) != one["records"]:
                raise ValueError(f"it has not the {one['records']} records that the manifest says")
            yield file.name, file.stat().st_size, sha256_of(file)
        except FileNotFoundError:
            raise DataError(f"{file} is missing: copy it again") from None
        except ValueError as error:
            raise DataError(f"{file} is damaged ({error}), so nothing is sent: copy it again") from None


def recipe_of(manifest: dict[str, Any]) -> Recipe:
    """Return what a manifest of a data set says of scheme, shape and classes."""
    return Recipe.model_validate(
        {
            "scheme": manifest["scheme"]["name"],
            "parameters": manifest["scheme"]["parameters"],
            "image_shape": manifest["image"]["shape"],
            "class_names": manifest["class_names"],
        }
    )


def sign_list(
    data_set: LocalSet,
    ticket: Ticket,
    pieces: dict[tuple[int, int], SealedPiece],
    key: Ed25519PrivateKey,
) -> bytes:
    """Return the bytes that are sealed to `manifest.age`.

    Args:
        data_set: what was sent.
        ticket: for which ticket.
        pieces: by number of the file and of the piece.
        key: the client's.

    Raises:
        DataError: there are too many pieces for one list.
    """
    files = [
        {
            "file": name,
            "sha256": digest,
            "bytes": size,
            "pieces": [pieces[number, piece].model_dump() for piece in range(-(-size // ticket.piece_bytes))],
        }
        for number, (name, size, digest) in enumerate(data_set.files)
    ]
    tree = {
        "format": "dkjax-sealed",
        "version": 1,
        "ticket": ticket.id,
        "ticket_sha256": ticket.sha256,
        "client": ticket.client,
        "data_set": data_set.id,
        "records": data_set.records,
        "sealed": stamp(now()),
        "piece_bytes": ticket.piece_bytes,
        "files": files,
        "public_key": public_key_of(key),
    }
    listed = canonical(signed(tree, PURPOSE, key))
    if len(listed) > MAX_LIST_BYTES:
        raise DataError(f"{data_set.path} has too many pieces for one ticket: divide it (dkjax encrypt --shard)")
    return listed


def read_list(data: bytes) -> SealedSet:
    """Read what `manifest.age` held.

    Args:
        data: the bytes, opened.

    Returns:
        The list; its signature is that of the key in it.

    Raises:
        DataError: it is no such list, or its signature is wrong.

    Guarantees:
        - any bytes give a list or this error (`test_sealed_set.py::test_any_change_of_the_list`).
    """
    try:
        tree = strict_json.parse(data)
        if not isinstance(tree, dict) or tree.get("format") != "dkjax-sealed":
            raise ValueError('it does not say "format": "dkjax-sealed"')
        if type(tree.get("version")) is not int or tree["version"] != 1:
            raise ValueError(f"version {tree.get('version')!r}; this dkjax reads version 1: install a newer one")
        found = SealedSet.model_validate(tree)
    except pydantic.ValidationError as error:
        raise DataError(f"the list of what was sent is none: {first_problem(error)}") from None
    except (ValueError, json.JSONDecodeError) as error:
        raise DataError(f"the list of what was sent is none: {strict_json.one_line(str(error))}") from None
    if not is_signed(tree, PURPOSE, found.public_key):
        raise DataError("the signature of the list is not that of the key in it")
    return found


def _text(value: Any, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError("not such a text")
    return value
