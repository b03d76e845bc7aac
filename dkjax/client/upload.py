"""What a client does: encrypt its images and hand them over. It needs no more part in the training."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from dkjax.cipher import Scheme
from dkjax.cipher.chunks import KeysOf, encrypt_chunks, keys_of
from dkjax.input.device_resident import LazyEncrypted
from dkjax.input.record_pool import RecordPool
from dkjax.sources import Records

_READ = 256
_READ_BYTES = 40 << 20


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
        class_names: by label; empty where the receiver knows them from elsewhere.
        scheme: the encryption; None where the images are plain, or the receiver knows it from elsewhere.
    """

    client: str
    round: int
    pool: RecordPool | LazyEncrypted
    class_names: tuple[str, ...] = ()
    scheme: Scheme | None = None

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
    class_names: tuple[str, ...] = (),
) -> Upload:
    """Encrypt a client's images for the server.

    Args:
        client: whose images.
        round_number: the round, from 1.
        scheme: the encryption; None hands over plain images.
        image_keys: typed keys, one for each image, shape `[n]`, or a single one for all, shape `[]`.
        see: how the server comes to see the images.
        class_names: by label.

    Returns:
        The upload. Encrypted now, it holds no key and no plain image, unless there is no scheme.

    Raises:
        ArgumentError: the scheme does not fit the images.
        KeyDiscardedError: the keys' round has ended.
    """
    return Upload(client.name, round_number, see(client.records, scheme, image_keys), class_names, scheme)


def encrypt_records(records: Records, scheme: Scheme | None, image_keys: jax.Array | KeysOf | None) -> Records:
    """Encrypt images, a chunk at a time, and keep their labels.

    Args:
        records: plain images and labels.
        scheme: the encryption, or None for none.
        image_keys: as for `upload`, or a function that gives them.

    Returns:
        New records in the same order.

    Raises:
        ArgumentError: as `upload`.
        KeyDiscardedError: as `upload`.
    """
    if scheme is None or image_keys is None:
        return records
    encrypted = RecordBuffer(len(records["label"]), records["image"].shape[1:])
    for chunk in encrypt_record_chunks(scheme, image_keys, [records]):
        encrypted.append(chunk)
    return encrypted.records


def encrypt_record_chunks(
    scheme: Scheme, image_keys: jax.Array | KeysOf, chunks: Iterable[Records]
) -> Iterator[Records]:
    """Encrypt a stream of records.

    Args:
        scheme: the encryption.
        image_keys: for all images of the stream, in order; as for `encrypt_records`.
        chunks: plain images and labels, any number at a time.

    Yields:
        Encrypted images and their labels, in order.

    Raises:
        ArgumentError: as `upload`.
        KeyDiscardedError: as `upload`.
    """
    labels: deque[int] = deque()

    def images() -> Iterator[np.ndarray]:
        for records in chunks:
            labels.extend(records["label"].tolist())
            yield records["image"]

    keys = keys_of(image_keys) if isinstance(image_keys, jax.Array) else image_keys
    for encrypted in encrypt_chunks(scheme, keys, images()):
        label = np.array([labels.popleft() for _ in range(len(encrypted))], np.int32)
        yield {"image": encrypted, "label": label}


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
        """What there is so far; the memory is the buffer's."""
        return {"image": self._images[: self.filled], "label": self._labels[: self.filled]}


def records_at_a_time(image_shape: tuple[int, ...]) -> int:
    """Say how many records are read, and changed at random, at a time: 256, or as many as 40 MiB hold.

    What is drawn for an image depends on this number.

    Args:
        image_shape: `(H, W, C)` of `uint8` images.
    """
    return max(1, min(_READ, _READ_BYTES // int(np.prod(image_shape))))
