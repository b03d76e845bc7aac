"""What a client does: encrypt its images and hand them over. It needs no more part in the training."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from dkjax.cipher import Scheme, encrypt_batches
from dkjax.data import Records
from dkjax.keys import require_live

_CHUNK = 256
"""Images encrypted at a time. One shape means one compilation, whatever the number of a client's images."""


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
        records: encrypted images `uint8[n, H, W, C]` and labels `int32[n]`; plain images where the arm has no scheme.
    """

    client: str
    round: int
    records: Records

    @property
    def num_bytes(self) -> int:
        """Bytes of images and labels, as arrays, without any container."""
        return self.records["image"].nbytes + self.records["label"].nbytes


def upload(client: Client, round_number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
    """Encrypt a client's images for the server.

    Args:
        client: whose images.
        round_number: the round, from 1.
        scheme: the encryption; None hands over plain images.
        image_keys: typed keys, one for each image, shape `[n]`, or a single one for all, shape `[]`.

    Returns:
        The upload. It holds no key and no plain image, unless there is no scheme.

    Raises:
        ArgumentError: the scheme does not fit the images.
        KeyDiscardedError: the keys' round has ended.
    """
    return Upload(client.name, round_number, encrypt_records(client.records, scheme, image_keys))


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
    encrypted = np.empty_like(images)
    firsts = range(0, len(images), _CHUNK)
    for first, chunk in zip(firsts, encrypt_batches(scheme, _chunks(images, image_keys)), strict=True):
        encrypted[first : first + _CHUNK] = chunk[: len(images) - first]
    return {"image": encrypted, "label": records["label"]}


def _chunks(images: np.ndarray, image_keys: jax.Array) -> Iterator[tuple[jax.Array, np.ndarray]]:
    """Pair keys with images, a chunk at a time; the last is filled up with repetitions of its first image and key."""
    for first in range(0, len(images), _CHUNK):
        indices = np.arange(first, first + _CHUNK)
        indices[indices >= len(images)] = first
        yield image_keys[indices] if image_keys.shape else image_keys, images[indices]
