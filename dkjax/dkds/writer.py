"""Writing an encrypted data set, shard by shard, so that a stop at any point loses at most the shard at hand.

The order of the records and their division into shards come from a random seed, which is kept in a plan beside the
shards. The plan holds no cipher key; it goes when the data set is committed, since it tells which record was which
image. Nothing that stays can be turned back into the seed: ids are its SHA-256 hashes.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dkjax
from dkjax.dkds import layout
from dkjax.dkds.data_set import commit_of
from dkjax.dkds.growing_shard import GrowingShard, entry_of_records, growing_shard
from dkjax.dkds.manifest import Description, Manifest, ShardEntry, is_word
from dkjax.dkds.packed import pack_shard, read_packed_shard
from dkjax.dkds.shard import entry_of, holds_shard_of
from dkjax.errors import ConfigError, DamagedDataSetError, DataError
from dkjax.runtime.files import LOCK, UNFINISHED, alone_in, read_json, sync, whole_file, write_json
from dkjax.seeds import generator
from dkjax.sources.source import Records

_READ_FROM = "read_from"
"""The part of the plan that says what each finished shard was made from."""

_SHARD_NAME = re.compile(r"shard-[0-9]{5,}\.(safetensors|dkpack)")


class DataSetWriter:
    """A data set in the making, held by this process alone; made by `open_writer`.

    Attributes:
        path: its folder.
        num_shards: how many shards it will have.
    """

    def __init__(
        self,
        path: Path,
        description: Description,
        client: str | None,
        num_items: int,
        shard_images: int,
        plan: dict[str, Any],
        shuffle: bool,
        packed: bool,
    ) -> None:
        seed: str = plan["seed"]
        self._plan = plan
        self.path = path
        self.num_shards = -(-num_items // shard_images)
        self._description = description
        self._shard_images = shard_images
        self._seed = seed
        self._client = client
        self._packed = packed
        self._order = np.arange(num_items)
        if shuffle:
            self._order = generator("dkjax.data.store", int(seed, 16)).permutation(num_items)
        self._id = _derived(seed, "data set").hex()
        self._entries: dict[int, ShardEntry] = {}
        for number in range(self.num_shards):
            if (entry := self._finished(number)) is not None:
                self._entries[number] = entry

    @property
    def missing(self) -> list[int]:
        """The shards that have still to be added, in order."""
        return [number for number in range(self.num_shards) if number not in self._entries]

    @property
    def records(self) -> int:
        """How many records have been written."""
        return sum(entry.records for entry in self._entries.values())

    @property
    def items_done(self) -> int:
        """How many items of the source have been gone through, those that could not be read included."""
        return sum(len(self.items_of(number)) for number in self._entries)

    def items_of(self, number: int) -> NDArray[np.int64]:
        """Return which items of the source, in which order, make shard `number`."""
        return self._order[number * self._shard_images : (number + 1) * self._shard_images]

    def forget_changed(self, read_from: Callable[[NDArray[np.int64]], str]) -> int:
        """Forget finished shards whose images are not any more what they were made from.

        Args:
            read_from: what the images of some items are read from now, as it was given to `shard`.

        Returns:
            How many items are to be gone through again.

        Guarantees:
            - repaired and replaced images are read again
              (`test_encrypt_data_set.py::test_images_that_changed_are_read_again`).
        """
        known = self._plan.get(_READ_FROM, {})
        changed = [number for number in self._entries if known.get(str(number), "") != read_from(self.items_of(number))]
        for number in changed:
            del self._entries[number]
        return sum(len(self.items_of(number)) for number in changed)

    @contextlib.contextmanager
    def shard(self, number: int, read_from: str = "") -> Iterator[GrowingShard]:
        """Let a shard be written, record after record.

        Args:
            number: one of `missing`.
            read_from: what its items are read from, so that a change is noticed when this is resumed; it stays in the
                plan.

        Yields:
            The shard, to which the encrypted images of its items are appended, without those that could not be read.
            At the end of the block, which may come on another thread, it is there.
        """
        image_shape = self._description.image_shape
        with growing_shard(self.path, number, self._ids_of(number), image_shape, self._id) as shard:
            yield shard
        if self._packed:
            pack_shard(self.path, number, self._description.scheme.block_size)
        self._entries[number] = shard.entry
        if read_from:
            self._plan.setdefault(_READ_FROM, {})[str(number)] = read_from
            write_json(self.path / layout.PLAN, self._plan, private=True)

    def add(self, number: int, records: Records) -> None:
        """Write a shard whose records are all there; arguments as for `shard`."""
        with self.shard(number) as shard:
            shard.append(records)

    def _ids_of(self, number: int) -> NDArray[np.uint8]:
        ids = b"".join(_derived(self._seed, f"record {number} {i}") for i in range(len(self.items_of(number))))
        return np.frombuffer(ids, np.uint8).reshape(-1, layout.ID_BYTES)

    def _finished(self, number: int) -> ShardEntry | None:
        """Describe a shard that an earlier try has finished; one that it could not pack any more is packed."""
        file, image_shape = self.path / layout.shard_name(number), self._description.image_shape
        most, block_size = len(self.items_of(number)), self._description.scheme.block_size
        if self._packed:
            packed = self.path / layout.packed_name(number)
            with contextlib.suppress(DamagedDataSetError):
                records, ids = read_packed_shard(packed, number, image_shape, block_size, most)
                if np.array_equal(ids, self._ids_of(number)[: len(ids)]):
                    file.unlink(missing_ok=True)
                    return entry_of_records(number, records, ids, self._id)
        if not holds_shard_of(file, number, self._id, image_shape, most):
            return None
        entry = entry_of(file, number)
        if self._packed:
            pack_shard(self.path, number, block_size)
        return entry

    def commit(self) -> Manifest:
        """Write the manifest and COMMIT, and forget the plan.

        Returns:
            The manifest.

        Raises:
            DataError: not one record could be written.
        """
        assert not self.missing
        if not self.records:
            raise DataError(f"{self.path} would be empty: none of the images could be read")
        manifest = Manifest(
            **self._description.model_dump(),
            id=self._id,
            client=self._client or f"client-{self._id[:8]}",
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            records=self.records,
            shards=[self._entries[number] for number in range(self.num_shards)],
            software={"dkjax": dkjax.__version__}
            | {name: importlib.metadata.version(name) for name in ("jax", "numpy")},
        )
        write_manifest(self.path, manifest)
        # A stop before this leaves plan and COMMIT side by side, and the same command does these last steps again.
        for name in (layout.PLAN, LOCK):
            (self.path / name).unlink(missing_ok=True)
        sync(self.path)
        return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest beside its shards, then COMMIT: from then on the folder is a data set.

    Args:
        path: the folder that holds the shards.
        manifest: what is in them.
    """
    data = manifest.to_bytes()
    with whole_file(path / layout.MANIFEST) as unfinished:
        unfinished.write_bytes(data)
    with whole_file(path / layout.COMMIT) as unfinished:
        unfinished.write_bytes(commit_of(data))


@contextlib.contextmanager
def open_writer(
    path: Path,
    description: Description,
    *,
    client: str | None,
    num_items: int,
    shard_images: int,
    request: Mapping[str, Any],
    seed: bytes | None = None,
    shuffle: bool = True,
    packed: bool = False,
) -> Iterator[DataSetWriter]:
    """Begin an encrypted data set, or go on with one that was begun by the same request.

    Args:
        path: the folder, `NAME.dkds`. It may be missing, empty, or hold an unfinished data set.
        description: what the data set says of itself.
        client: the client's pseudonym; one made of the data set's id if None.
        num_items: how many items of the source are to be gone through.
        shard_images: how many of them make a shard.
        request: plain JSON values that tell this request from others; kept until the data set is committed.
        seed: 16 bytes that decide the order and the ids; random if None.
        shuffle: whether the records are put in a random order, which tells nothing of the source's. Simulations keep
            the order, so that training sees the same records as it would in memory.
        packed: whether each shard is packed once it is written, to be handed over (`dkjax.dkds.packed`).

    Yields:
        The writer, until the data set is committed or the block is left.

    Raises:
        ConfigError: the folder holds a finished data set, one that another request began, or other files; another
            process is writing it; or the pseudonym is none.
    """
    if client is not None and not is_word(client):
        raise ConfigError(
            f"the client's name {client!r} is no pseudonym: expected up to 64 letters, digits and . _ -, "
            "of which the first is a letter or digit"
        )
    _refuse_others(path)
    path.mkdir(parents=True, exist_ok=True)
    with alone_in(path, "--out"):
        # Looked at again: until now another process may have been at work.
        _refuse_others(path)
        whole_request = {**request, **description.model_dump(mode="json"), "client": client}
        whole_request |= {"num_items": num_items, "shard_images": shard_images} | ({"packed": True} if packed else {})
        plan = _read_plan(path)
        if plan is None:
            plan = {"seed": (seed or os.urandom(layout.ID_BYTES)).hex(), "request": whole_request}
            write_json(path / layout.PLAN, plan, private=True)
            sync(path.parent)
        else:
            _refuse_another(path, plan, whole_request, seed)
        _remove_leftovers(path, num_shards=-(-num_items // shard_images))
        yield DataSetWriter(path, description, client, num_items, shard_images, plan, shuffle, packed)


def _refuse_another(path: Path, plan: Any, request: Mapping[str, Any], seed: bytes | None) -> None:
    """Raise `ConfigError` if a plan was made for another request, and say in what that differs."""
    begun = plan["request"]
    differing = sorted(name for name in begun.keys() | request.keys() if begun.get(name) != request.get(name))
    if seed is not None and seed.hex() != plan["seed"]:
        differing.append("keys.seed")
    if differing:
        raise ConfigError(
            f"{path} was begun by another command, which differs in {', '.join(differing)}: "
            "choose another --out, or remove the folder to begin again"
        )


def _read_plan(path: Path) -> Any | None:
    """Read the plan; None where there is none, or one that cannot be followed."""
    try:
        plan = read_json(path / layout.PLAN)
    except ValueError:
        return None
    if not isinstance(plan, dict) or plan.keys() - {_READ_FROM} != {"seed", "request"}:
        return None
    if not isinstance(plan["request"], dict) or not isinstance(plan.get(_READ_FROM, {}), dict):
        return None
    return plan if re.fullmatch("[0-9a-f]{32}", str(plan["seed"])) else None


def _remove_leftovers(path: Path, num_shards: int) -> None:
    """Remove what earlier tries left and this one would not replace: it would be a stranger in the data set."""
    own = {name_of(number) for name_of in (layout.shard_name, layout.packed_name) for number in range(num_shards)}
    for name in os.listdir(path):
        if name.endswith(UNFINISHED) or (_SHARD_NAME.fullmatch(name) and name not in own):
            (path / name).unlink()


def _refuse_others(path: Path) -> None:
    """Raise `ConfigError` unless the folder can become the data set, or is on its way to."""
    if path.suffix != layout.SUFFIX:
        raise ConfigError(f"{path}: the name of an encrypted data set ends in {layout.SUFFIX}")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: choose another --out")
    names = set(os.listdir(path)) if path.is_dir() else set()
    if layout.COMMIT in names and layout.PLAN not in names:
        raise ConfigError(
            f"{path} is finished and was left as it is: choose another --out, or remove the folder to begin again"
        )
    if layout.PLAN in names:
        own = {layout.PLAN, LOCK, layout.MANIFEST, layout.COMMIT}
        strangers = sorted(
            name for name in names - own if not name.endswith(UNFINISHED) and not _SHARD_NAME.fullmatch(name)
        )
    else:
        # A lock and a plan whose writing was cut short are all that a data set can have yet.
        strangers = sorted(names - {LOCK, layout.PLAN + UNFINISHED})
    if strangers:
        raise ConfigError(f"{path} holds other files, such as {strangers[0]}: choose another --out")


def _derived(seed: str, purpose: str) -> bytes:
    """Return 16 bytes that look random and tell nothing of the seed."""
    return hashlib.sha256(f"dkds v1 {seed} {purpose}".encode()).digest()[: layout.ID_BYTES]
