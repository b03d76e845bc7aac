"""Records that lie whole on every device, where a compiled step takes, enlarges and encrypts those it needs.

For sets that fit: 50 000 images of 32 px are 154 MB, and 7.5 GB once they are enlarged to 224 px, which are then never
written anywhere. A step is told row numbers alone.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dkjax import keys
from dkjax.cipher import Scheme, encrypt
from dkjax.data.enlarge import enlarge
from dkjax.data.place import place
from dkjax.data.pool import Pool
from dkjax.data.source import Indices, Records, positions
from dkjax.errors import ConfigError

_SHARE = 0.5
"""How much of a device's memory records may take; the rest is for training."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a resident set, a pytree: what a compiled step is given instead of a batch.

    Attributes:
        rows: int32[batch_size].
        mask: bool[batch_size], False where a row does not count; None where all do.
        images: uint8[n, h, w, c], all that there are.
        labels: int32[n].
        image_keys: typed keys [n]; None where the images are not to be encrypted.
        scheme: the encryption, or None.
        image_size: (H, W) that images are enlarged to before that.
    """

    rows: jax.Array
    mask: jax.Array | None
    images: jax.Array
    labels: jax.Array
    image_keys: jax.Array | None = dataclasses.field(repr=False)
    scheme: Scheme | None = dataclasses.field(metadata={"static": True})
    image_size: tuple[int, int] = dataclasses.field(metadata={"static": True})

    def read(self) -> dict[str, jax.Array]:
        """Return `image` uint8[batch_size, H, W, C], `label` int32[batch_size], and `mask` if there is one."""
        images = enlarge(self.images[self.rows], self.image_size)
        if self.scheme is not None:
            assert self.image_keys is not None
            images = encrypt(self.scheme, self.image_keys[self.rows], images)
        batch = {"image": images, "label": self.labels[self.rows]}
        return batch if self.mask is None else {**batch, "mask": self.mask}


class Deferred:
    """Records that are enlarged and encrypted where and when they are needed, always in the same way.

    It keeps a copy of the keys, which outlives their round, until `discard`. That is for simulations, whose clients and
    server are one process; what a real client hands over is encrypted.

    Args:
        records: plain records, as large as they come.
        image_size: (H, W) that they are enlarged to.
        scheme: the encryption, or None.
        image_keys: typed keys, one for each record or a single one for all; None where there is no scheme.

    Guarantees:
        - the bytes are those of resizing and encrypting at once (`test_resident.py::test_equals_encrypting_at_once`).
    """

    def __init__(
        self,
        records: Records,
        image_size: tuple[int, int],
        scheme: Scheme | None = None,
        image_keys: jax.Array | None = None,
    ) -> None:
        self.records = records
        self.scheme = scheme
        self.image_size = image_size
        self.image_shape = (*image_size, records["image"].shape[3])
        self.image_keys = None
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
        """Bytes of all images, enlarged, and labels: what a client would hand over."""
        return len(self) * int(np.prod(self.image_shape)) + self.labels.nbytes

    def __getitem__(self, indices: Indices) -> Records:
        """Encrypt some records now."""
        chosen = positions(indices, len(self))
        rows = Rows(
            jnp.arange(len(chosen), dtype=jnp.int32),
            None,
            jnp.asarray(self.records["image"][chosen]),
            jnp.asarray(self.labels[chosen]),
            None if self.image_keys is None else self.image_keys[chosen],
            self.scheme,
            self.image_size,
        )
        return {"image": np.asarray(_read(rows)["image"]), "label": self.labels[chosen]}

    def discard(self) -> None:
        """Erase the keys; nothing can be encrypted any more."""
        if self.image_keys is not None:
            keys.erase(self.image_keys)


_read = jax.jit(Rows.read)


class Resident:
    """Records on the devices.

    Made by `put_on_devices`.

    Attributes:
        labels: of all records, int32[n], on the host.
        rows: makes `Rows` of row numbers and a mask.
    """

    def __init__(self, labels: NDArray[np.int32], everything: Rows) -> None:
        self.labels = labels
        self.rows = functools.partial(dataclasses.replace, everything)
        self._everything = everything

    def __len__(self) -> int:
        return len(self.labels)

    def discard(self) -> None:
        """Erase the keys and free the memory of the devices."""
        if self._everything.image_keys is not None:
            keys.erase(self._everything.image_keys)
        for array in (self._everything.images, self._everything.labels):
            array.delete()


def put_on_devices(pieces: Sequence[Pool | Deferred], sharding: jax.sharding.Sharding) -> Resident:
    """Lay records on devices.

    Args:
        pieces: what follows one another; all of one image shape and, if they are deferred, one scheme.
        sharding: that gives every device the whole of an array.

    Returns:
        The records on the devices.

    Raises:
        ConfigError: they would take more than half of a device's memory.
    """
    first = pieces[0]
    records = [piece.records if isinstance(piece, Deferred) else piece[:] for piece in pieces]
    _check_room(sum(one["image"].nbytes for one in records), sharding)
    images = np.concatenate([one["image"] for one in records])
    labels = np.concatenate([one["label"] for one in records])
    image_keys = [piece.image_keys for piece in pieces if isinstance(piece, Deferred) and piece.image_keys is not None]
    everything = Rows(
        rows=place(np.zeros(0, np.int32), sharding),
        mask=None,
        images=place(images, sharding),
        labels=place(labels, sharding),
        image_keys=keys.join(image_keys, sharding) if image_keys else None,
        scheme=first.scheme if isinstance(first, Deferred) else None,
        image_size=first.image_size if isinstance(first, Deferred) else (images.shape[1], images.shape[2]),
    )
    return Resident(labels, everything)


def _check_room(size: int, sharding: jax.sharding.Sharding) -> None:
    """Refuse what would leave too little for training, on devices that say what they have."""
    device: Any = next(iter(sharding.addressable_devices))
    memory = (device.memory_stats() or {}).get("bytes_limit")
    if memory is not None and size > _SHARE * memory:
        raise ConfigError(
            f"the images take {size / (1 << 30):,.1f} GiB on every device, more than half of the "
            f'{memory / (1 << 30):,.1f} GiB that one has: set train.input = "host", which reads them batch by batch'
        )
