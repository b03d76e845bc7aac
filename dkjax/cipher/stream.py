"""Encrypting more images than fit: batch after batch, in constant memory."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from dkjax.cipher.encryption import encrypt
from dkjax.cipher.scheme import Scheme


def encrypt_stream(scheme: Scheme, batches: Iterable[tuple[jax.Array, Any]]) -> Iterator[np.ndarray]:
    """Encrypt a stream of batches, copying one to the device while the one before is encrypted.

    Args:
        scheme: the scheme.
        batches: pairs of keys and images, each as for `encrypt`. Batches of one shape share one compilation; keys have
            to live until their batch has come out.

    Yields:
        The encrypted images of each batch, in order, as NumPy arrays.

    Raises:
        ArgumentError: as `encrypt`.
        KeyDiscardedError: as `encrypt`.

    Guarantees:
        - the same bytes as one call of `encrypt` (`test_stream.py::test_equals_one_call`).
        - at most two batches are held, however many there are (`test_stream.py::test_holds_two_batches`).
    """
    ahead: jax.Array | None = None
    for image_keys, images in batches:
        # JAX returns before the work is done: the next batch is read and copied meanwhile.
        encrypted = encrypt(scheme, image_keys, images)
        if ahead is not None:
            yield np.asarray(ahead)
        ahead = encrypted
    if ahead is not None:
        yield np.asarray(ahead)
