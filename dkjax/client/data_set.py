"""What a client hands over: its images, encrypted, as a data set on disk that can be copied, checked and trained on."""

import contextlib
import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.cipher import Scheme
from dkjax.cipher.chunks import chunk_size
from dkjax.client.augment import augment
from dkjax.client.from_config import make_ratchet
from dkjax.client.rand_augment import check_channels
from dkjax.client.upload import encrypt_record_chunks, records_at_a_time
from dkjax.config import AugmentConfig, KeysConfig, resolved
from dkjax.dkds import Description, Manifest, Part, layout, open_writer
from dkjax.dkds.manifest import describe
from dkjax.dkds.packed import packed_bytes
from dkjax.errors import ArgumentError, DataError
from dkjax.runtime.prefetch import prefetch
from dkjax.runtime.write_behind import writing_behind
from dkjax.sources import Records, Source
from dkjax.sources.source import fingerprint


@dataclasses.dataclass(frozen=True)
class Order:
    """What a client wants to hand over, and under which name.

    Attributes:
        scheme: the encryption.
        keys: where the keys come from.
        client: a pseudonym, the only thing that a data set says of where it comes from; made up if None.
        views: how many encryptions of each image, under different keys.
        augment: what is done to an image before each encryption.
        part: which share of the source; record `i` belongs to part `i mod part.of`.
        shard_images: images in a shard; None for shards of about 128 MiB.
        packed: whether the data set is packed, to be handed over; for `sorted_blocks`.
        request: plain JSON values that name the source, so that the order is told from another when it is resumed.
    """

    scheme: Scheme
    keys: KeysConfig
    client: str | None = None
    views: int = 1
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    part: Part = dataclasses.field(default_factory=Part)
    shard_images: int | None = None
    packed: bool = False
    request: dict[str, Any] = dataclasses.field(default_factory=dict)

    def num_items(self, source: Source) -> int:
        """How many encrypted images this order is, if all of the source can be read."""
        return len(range(self.part.index, len(source), self.part.of)) * self.views

    def shard_images_of(self, source: Source) -> int:
        """How many images a shard has."""
        return self.shard_images or layout.default_shard_images(source.image_shape)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an order has come.

    Attributes:
        done: images gone through, those that could not be read included; counted over all tries.
        total: images to go through.
        kept: images that an earlier try had done.
        chunk: the newest encrypted images; None when a try begins.
        changed: images that an earlier try had done, and that are read again, since their files have changed.
    """

    done: int
    total: int
    kept: int
    chunk: Records | None = None
    changed: int = 0


def encrypt_data_set(
    source: Source, path: Path, order: Order, report: Callable[[Progress], None] = lambda progress: None
) -> Manifest:
    """Encrypt a source into an encrypted data set on disk.

    Images are read, encrypted and written in constant memory, in an order drawn at random. The keys of a shard are
    drawn when it begins and erased when it ends. Stopped at any point, the same call goes on: finished shards stay,
    unless a file of one has been repaired or replaced since, and the others get fresh keys. Of a packed data set, two
    shards at most are on the disk before they are packed.

    Args:
        source: the plain images.
        path: the data set's folder, `NAME.dkds`.
        order: what is wanted.
        report: called with the progress after each chunk.

    Returns:
        The manifest of the finished data set.

    Raises:
        ArgumentError: the scheme or `rand_augment` does not fit the images, or a number is out of range.
        ConfigError: the folder holds something else, or another process is writing it.
        DataError: there are no images, none can be read, or a class has a name that cannot be written.

    Guarantees:
        - no two images share a key (`test_encrypt_data_set.py::test_every_image_has_its_own_key`).
        - reproducible keys give the same shards, interrupted or not
          (`test_encrypt_data_set.py::test_resumed_equals_whole`).
        - a packed data set unpacks to what it would have been
          (`test_encrypt_packed.py::test_packed_is_the_same_data_set`).
        - files that changed between two tries are read again
          (`test_encrypt_data_set.py::test_images_that_changed_are_read_again`).
        - memory does not grow with the number of images
          (`test_encrypt_survives.py::test_memory_does_not_grow_with_the_images`).
    """
    total = _check(source, order)
    labels = hashlib.sha256(source.labels.astype("<i4").tobytes()).hexdigest()
    writing = open_writer(
        path,
        _description(source, order),
        client=order.client,
        num_items=total,
        shard_images=order.shard_images_of(source),
        request={**order.request, "augment": resolved(order.augment), "labels": labels},
        seed=_seed(order),
        packed=order.packed,
    )
    with writing as writer, writing_behind() as write:
        ratchet = make_ratchet(order.keys)
        try:
            changed = writer.forget_changed(lambda items: fingerprint(source, _records_of(source, order, items)))
            done = kept = writer.items_done
            report(Progress(done, total, kept, changed=changed))
            missing = set(writer.missing)
            for number in range(writer.num_shards):
                # A round a shard, also for those that are there: the keys of a shard depend on its number alone.
                with ratchet.next_round() as round_keys:
                    if number not in missing:
                        continue
                    items = writer.items_of(number)
                    read_from = fingerprint(source, _records_of(source, order, items))
                    image_keys = round_keys.for_client(_key_name(order), len(items))
                    chunks = _read(source, order, number, items)
                    with contextlib.ExitStack() as begun:
                        shard = begun.enter_context(writer.shard(number, read_from))
                        for chunk in encrypt_record_chunks(order.scheme, image_keys, chunks):
                            shard.append(chunk)
                            report(Progress(done + shard.filled, total, kept, chunk))
                        write(None)
                        # While one shard is hashed and goes to the disk, the next is read and encrypted.
                        write(begun.pop_all().close)
                done += len(items)
                report(Progress(done, total, kept))
        finally:
            ratchet.discard()
        write(None)
        return writer.commit()


def estimate(source: Source, order: Order) -> dict[str, Any]:
    """Say how large a data set would be and how long it would take, by encrypting a few of its images.

    Args:
        source: the plain images.
        order: what is wanted.

    Returns:
        `records`, `shards`, `bytes` and `seconds`, if all of the source can be read: from the call of
        `encrypt_data_set` on, compilation included.

    Raises:
        ArgumentError: the scheme or `rand_augment` does not fit the images.
        DataError: the part has no image in it.
    """
    total = _check(source, order)
    size = records_at_a_time(source.image_shape)
    sample = np.arange(total)[:: max(1, total // size)][:size]
    ratchet = make_ratchet(order.keys)
    took = []
    image_bytes = int(np.prod(source.image_shape))
    stored, plain = 0, 0
    for _ in range(2):  # compilation and first reads are part of the first time alone
        started = time.perf_counter()
        with ratchet.next_round() as round_keys:
            image_keys = round_keys.for_client(_key_name(order), len(sample))
            for chunk in encrypt_record_chunks(order.scheme, image_keys, _read(source, order, 0, sample)):
                image = chunk["image"]
                plain += image.size  # images that cannot be read are left out
                stored += packed_bytes(image, order.scheme.block_size) if order.packed else image.size
        took.append(time.perf_counter() - started)
    ratchet.discard()
    once, each = took[0] - took[1], took[1] / len(sample)
    share = stored / max(plain, 1)
    return {
        "records": total,
        "shards": -(-total // order.shard_images_of(source)),
        "bytes": round(total * (share * image_bytes + layout.RECORD_BYTES)),
        "seconds": round(max(once, 0) + each * total, 1),
    }


def _check(source: Source, order: Order) -> int:
    """Raise if the order cannot be carried out; return how many images it is."""
    if order.views < 1:
        raise ArgumentError(f"views must be at least 1, got {order.views}")
    order.scheme.check(source.image_shape, np.uint8)
    if order.packed and order.scheme.name != "sorted_blocks":
        raise ArgumentError(
            f"packed is for the scheme sorted_blocks: the values of {order.scheme.name} are in no order and hardly get "
            "smaller; leave it out"
        )
    if order.augment.rand_augment is not None:
        check_channels(source.image_shape[2])
    total = order.num_items(source)
    if not total:
        raise DataError(f"part {order.part.index} of {order.part.of} of {len(source)} images has no image in it")
    return total


def _read(source: Source, order: Order, number: int, items: np.ndarray) -> Iterator[Records]:
    """Read the plain images of a shard, a chunk ahead of their encryption."""
    seed = _seed(order)
    # Without a seed NumPy takes one from the operating system.
    random = np.random.default_rng(None if seed is None else [*seed, number])
    changes = order.augment.model_dump()
    size = records_at_a_time(source.image_shape)
    if not any(changes.values()):  # then nothing is drawn, and what is encrypted at a time can be read at a time
        size = chunk_size(math.prod(source.image_shape))
    chunks = np.split(_records_of(source, order, items), range(size, len(items), size))
    return prefetch(lambda chunk: augment(source[chunk], random, **changes), chunks)


def _records_of(source: Source, order: Order, items: np.ndarray) -> np.ndarray:
    """The positions in the source of items of an order: item `i` is a view of record `i mod n` of the part."""
    records_of_part = np.arange(order.part.index, len(source), order.part.of)
    return records_of_part[items % len(records_of_part)]


def _description(source: Source, order: Order) -> Description:
    return describe(
        order.scheme,
        source.image_shape,
        source.class_names,
        keys=order.keys.mode,
        prng=order.keys.prng,
        views=order.views,
        part=order.part,
    )


def _key_name(order: Order) -> str:
    """The name by which the ratchet knows a client; each part of a source is one of its own."""
    return f"{order.client or 'client'} {order.part.index}/{order.part.of}"


def _seed(order: Order) -> bytes | None:
    """Return what decides order and ids: nothing that anybody knows, unless keys are reproducible."""
    if order.keys.mode == "disposable":
        return None
    text = f"dkjax reproducible data set v1:{order.keys.seed} {_key_name(order)}"
    return hashlib.sha256(text.encode()).digest()[: layout.ID_BYTES]
