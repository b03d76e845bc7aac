"""What a client does: encrypt its images and hand them over. It needs no more part in the training."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from dkjax.cipher import Scheme, encrypt_stream
from dkjax.input.device_resident import LazyEncrypted
from dkjax.input.record_pool import RecordPool
from dkjax.keys import require_live
from dkjax.sources import Records
from dkjax.sources.source import take

_CHUNK = 256
_CHUNK_BYTES = 40 << 20


@dataclasses.dataclass(frozen=True)
class Client:
    """A site with images of its own.

    Attributes:
        name: what the client is called; its keys are derived from it.
        records: its plain images and their labels.
    """

    name: str
    records: Records


@dataclasses.dataclass(frozen=True)
class Upload:
    """What leaves a client: images as the server sees them, and labels.

    Attributes:
        client: the client's name.
        round: the round it belongs to, from 1.
        pool: encrypted images `uint8[n, H, W, C]` and labels `int32[n]`, in memory or mapped from an encrypted data
            set, or, in a simulation, encrypted whenever they are needed; plain images where the arm has no scheme.
    """

    client: str
    round: int
    pool: RecordPool | LazyEncrypted

    @property
    def num_bytes(self) -> int:
        """Bytes of images and labels, as arrays, without any container."""
        return self.pool.nbytes


EncryptView = Callable[[Records, Scheme | None, jax.Array | None], RecordPool | LazyEncrypted]
"""How somebody comes to see records under keys: `encrypted_now`, or `LazyEncrypted` until they are needed."""

Uploader = Callable[[Client, int, Scheme | None, jax.Array | None], Upload]
"""How a client hands over its images in a round, such as `upload`."""


def encrypted_now(records: Records, scheme: Scheme | None, image_keys: jax.Array | None) -> RecordPool:
    """Encrypt records for whoever is to see them; arguments and errors as for `encrypt_records`."""
    return RecordPool([encrypt_records(records, scheme, image_keys)])


def upload(
    client: Client,
    round_number: int,
    scheme: Scheme | None,
    image_keys: jax.Array | None,
    see: EncryptView = encrypted_now,
) -> Upload:
    """Encrypt a client's images for the server.

    Args:
        client: whose images.
        round_number: the round, from 1.
        scheme: the encryption; None hands over plain images.
        image_keys: typed keys, one for each image, shape `[n]`, or a single one for all, shape `[]`.
        see: how the server comes to see the images.

    Returns:
        The upload. Encrypted now, it holds no key and no plain image, unless there is no scheme.

    Raises:
        ArgumentError: the scheme does not fit the images.
        KeyDiscardedError: the keys' round has ended.
    """
    return Upload(client.name, round_number, see(client.records, scheme, image_keys))


def encrypt_records(records: Records, scheme: Scheme | None, image_keys: jax.Array | None) -> Records:
    """Encrypt images, a chunk at a time, and keep their labels.

    Args:
        records: plain images and labels.
        scheme: the encryption, or None for none.
        image_keys: as `upload`.

    Returns:
        New records in the same order.

    Raises:
        ArgumentError: as `upload`.
        KeyDiscardedError: as `upload`.
    """
    if scheme is None or image_keys is None:
        return records
    require_live(image_keys)
    images = records["image"]
    size = chunk_size(images.shape[1:])
    chunks = (take(records, slice(first, first + size)) for first in range(0, len(images), size))
    encrypted = RecordBuffer(len(images), images.shape[1:])
    for chunk in encrypt_chunks(scheme, image_keys, chunks):
        encrypted.append(chunk)
    return encrypted.records


class RecordBuffer:
    """Memory for so many records, filled chunk by chunk.

    Attributes:
        filled: how many there are so far.
    """

    def __init__(self, size: int, image_shape: tuple[int, ...]) -> None:
        self._images = np.empty((size, *image_shape), np.uint8)
        self._labels = np.empty(size, np.int32)
        self.filled = 0

    def append(self, chunk: Records) -> None:
        """Put records behind those that are there."""
        end = self.filled + len(chunk["label"])
        self._images[self.filled : end], self._labels[self.filled : end] = chunk["image"], chunk["label"]
        self.filled = end

    @property
    def records(self) -> Records:
        """What there is so far; the memory is the room's."""
        return {"image": self._images[: self.filled], "label": self._labels[: self.filled]}


def chunk_size(image_shape: tuple[int, ...]) -> int:
    """Say how many images are encrypted at a time: as many as are fast, and as 40 MiB hold.

    Args:
        image_shape: `(H, W, C)` of `uint8` images.
    """
    return max(1, min(_CHUNK, _CHUNK_BYTES // int(np.prod(image_shape))))


def encrypt_chunks(scheme: Scheme, image_keys: jax.Array, chunks: Iterable[Records]) -> Iterator[Records]:
    """Encrypt a stream of chunks, each of at most `chunk_size` images.

    Chunks are filled up to that size, so that one compilation serves clients with any number of images.

    Args:
        scheme: the encryption.
        image_keys: typed keys: one for each image of all chunks, in order, or a single one for all, shape `[]`.
        chunks: plain images and labels; a chunk may be short or empty.

    Yields:
        Encrypted images and their labels; nothing for an empty chunk.

    Raises:
        ArgumentError: the scheme does not fit the images.
        KeyDiscardedError: the keys' round has ended.
    """
    labels: deque[np.ndarray] = deque()

    def filled_up() -> Iterator[tuple[jax.Array, np.ndarray]]:
        first = 0
        for chunk in chunks:
            count = len(chunk["label"])
            if not count:
                continue
            # What fills a chunk up repeats its first image and key.
            rows = np.arange(chunk_size(chunk["image"].shape[1:]))
            rows[count:] = 0
            labels.append(chunk["label"])
            yield image_keys[first + rows] if image_keys.shape else image_keys, chunk["image"][rows]
            first += count

    for encrypted in encrypt_stream(scheme, filled_up()):
        label = labels.popleft()
        yield {"image": encrypted[: len(label)], "label": label}
