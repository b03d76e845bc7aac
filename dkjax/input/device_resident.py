"""Records held by every device, from which batches are gathered, upscaled and encrypted there.

For data that fit: 50 000 images of 32 px are 154 MB, and would be 7.5 GB upscaled to 224 px, a form that is not stored.
The devices receive row numbers only. Making a batch is a small program of its own, so that the training step, a large
one, is compiled once for all schemes.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dkjax import keys
from dkjax.cipher import Scheme, encrypt
from dkjax.errors import ConfigError
from dkjax.input.device_put import put
from dkjax.input.record_pool import RecordPool
from dkjax.input.upscale import upscale_bilinear
from dkjax.sources.source import Indices, Records, positions

_SHARE = 0.5
"""Share of a device's memory that records may use; the rest is for training."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Everything:
    """Records on the devices and their processing, as a pytree.

    Attributes:
        images: uint8[n, h, w, c].
        labels: int32[n].
        image_keys: typed keys [n]; None if the images are not encrypted.
        scheme: the encryption, or None.
        image_size: (H, W) to which images are upscaled before encryption.
    """

    images: jax.Array
    labels: jax.Array
    image_keys: jax.Array | None = dataclasses.field(repr=False)
    scheme: Scheme | None = dataclasses.field(metadata={"static": True})
    image_size: tuple[int, int] = dataclasses.field(metadata={"static": True})


def _batch(everything: _Everything, rows: jax.Array) -> dict[str, jax.Array]:
    images = upscale_bilinear(everything.images[rows], everything.image_size)
    if everything.scheme is not None:
        assert everything.image_keys is not None
        images = encrypt(everything.scheme, everything.image_keys[rows], images)
    return {"image": images, "label": everything.labels[rows]}


@functools.cache
def _compiled_batch(sharding: jax.sharding.Sharding | None) -> Callable[[_Everything, jax.Array], dict[str, jax.Array]]:
    return jax.jit(_batch, out_shardings=sharding)


class LazyEncrypted:
    """Records that are upscaled and encrypted on demand, always to the same bytes.

    It keeps a copy of the keys beyond their round, until `discard`. That is for simulations, whose clients and server
    are one process; a real client hands over encrypted images.

    Args:
        records: plain records, at their original size.
        scheme: the encryption, or None.
        image_keys: typed keys, one for each record or a single one for all; None where there is no scheme.
        image_size: (H, W) to which the images are upscaled before encryption.

    Guarantees:
        - the bytes are those of resizing and encrypting at once
          (`test_device_resident.py::test_equals_encrypting_at_once`).
    """

    def __init__(
        self,
        records: Records,
        scheme: Scheme | None = None,
        image_keys: jax.Array | None = None,
        *,
        image_size: tuple[int, int],
    ) -> None:
        self.records = records
        self.scheme = scheme
        self.image_size = image_size
        self.image_shape: tuple[int, int, int] = (*image_size, records["image"].shape[3])
        self.image_keys: jax.Array | None = None
        if scheme is not None and image_keys is not None:
            self.image_keys = keys.copy(image_keys, len(self))

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of all records, int32[n]."""
        return self.records["label"]

    def __len__(self) -> int:
        return len(self.records["label"])

    @property
    def nbytes(self) -> int:
        """Bytes of all upscaled images and labels: the size of the upload."""
        return len(self) * int(np.prod(self.image_shape)) + self.labels.nbytes

    def __getitem__(self, indices: Indices) -> Records:
        """Encrypt some records now."""
        chosen = positions(indices, len(self))
        image_keys = None if self.image_keys is None else keys.take(self.image_keys, chosen)
        everything = _Everything(
            jnp.asarray(self.records["image"][chosen]),
            jnp.asarray(self.labels[chosen]),
            image_keys,
            self.scheme,
            self.image_size,
        )
        batch = _compiled_batch(None)(everything, jnp.arange(len(chosen), dtype=jnp.int32))
        images = np.asarray(batch["image"])
        if image_keys is not None:
            keys.erase(image_keys)
        return {"image": images, "label": self.labels[chosen]}

    def discard(self) -> None:
        """Erase the keys; further encryption is an error."""
        if self.image_keys is not None:
            keys.erase(self.image_keys)


class DeviceResident:
    """Records on the devices; made by `put_on_devices`.

    Attributes:
        labels: of all records, int32[n], on the host.
    """

    def __init__(self, labels: NDArray[np.int32], everything: _Everything) -> None:
        self.labels = labels
        self._everything = everything

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: NDArray[np.integer], sharding: jax.sharding.Sharding) -> dict[str, jax.Array]:
        """Gather some records on the devices.

        Args:
            rows: integers [batch_size], equal in every process.
            sharding: how the batch is divided, by its first axis.

        Returns:
            `image` uint8[batch_size, H, W, C] and `label` int32[batch_size]; they may still be computing.

        Guarantees:
            - no image and no key is sent from one device to another
              (`test_device_resident.py::test_devices_do_not_talk`).
        """
        return _compiled_batch(sharding)(self._everything, put(rows.astype(np.int32), sharding))

    def discard(self) -> None:
        """Erase the keys and free the device memory."""
        if self._everything.image_keys is not None:
            keys.erase(self._everything.image_keys)
        for array in (self._everything.images, self._everything.labels):
            array.delete()


def put_on_devices(pieces: Sequence[RecordPool | LazyEncrypted], sharding: jax.sharding.Sharding) -> DeviceResident:
    """Put records on devices.

    Args:
        pieces: consecutive records, all of one image shape and, if encrypted on demand, one scheme.
        sharding: that replicates an array.

    Returns:
        The records on the devices.

    Raises:
        ConfigError: they would use more than half of a device's memory.
    """
    first = pieces[0]
    records = [piece.records if isinstance(piece, LazyEncrypted) else piece[:] for piece in pieces]
    _check_room(sum(one["image"].nbytes for one in records), sharding)
    images = np.concatenate([one["image"] for one in records])
    labels = np.concatenate([one["label"] for one in records])
    image_keys = [
        piece.image_keys for piece in pieces if isinstance(piece, LazyEncrypted) and piece.image_keys is not None
    ]
    everything = _Everything(
        images=put(images, sharding),
        labels=put(labels, sharding),
        image_keys=keys.join(image_keys, sharding) if image_keys else None,
        scheme=first.scheme if isinstance(first, LazyEncrypted) else None,
        image_size=first.image_size if isinstance(first, LazyEncrypted) else (images.shape[1], images.shape[2]),
    )
    return DeviceResident(labels, everything)


def _check_room(size: int, sharding: jax.sharding.Sharding) -> None:
    """Refuse records that leave too little memory for training, on devices that report their memory."""
    memory = _memory_of(next(iter(sharding.addressable_devices)))
    if memory is not None and size > _SHARE * memory:
        raise ConfigError(
            f"the images take {size / (1 << 30):,.1f} GiB on every device, more than half of the "
            f'{memory / (1 << 30):,.1f} GiB that one has: set train.input = "host", which reads them batch by batch'
        )


def _memory_of(device: Any) -> int | None:
    return (device.memory_stats() or {}).get("bytes_limit")
