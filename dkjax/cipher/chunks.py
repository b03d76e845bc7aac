"""Encrypting many images a chunk at a time: the one driver behind whole batches, data sets and simulations."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.stream import encrypt_stream
from dkjax.keys import erase, require_live, take

KeysOf = Callable[[np.ndarray], jax.Array]
"""Gives typed keys `[m]` for the images at positions `int64[m]` of a stream; the driver erases them."""

_IMAGES = 256
# Larger pieces of memory go back to the kernel at every call, and fetching them anew takes longer than encrypting.
_BYTES = 16 << 20


def keys_of(image_keys: jax.Array, items: np.ndarray | None = None) -> KeysOf:
    """Take the keys of a stream from an array of keys, as copies that can be erased.

    Args:
        image_keys: typed keys `[n]`, or a single one for all images, shape `[]`.
        items: `int64[m]`, whose key is that of each image of the stream; by default image `i` has key `i`.

    Raises:
        KeyDiscardedError: the keys' round has ended.
    """
    require_live(image_keys)
    if not image_keys.shape:
        return lambda rows: image_keys
    return lambda rows: take(image_keys, rows if items is None else items[rows])


def encrypt_chunks(
    scheme: Scheme, image_keys: KeysOf, images: Iterable[np.ndarray], at_most: int | None = None
) -> Iterator[np.ndarray]:
    """Encrypt a stream of images.

    Every chunk is filled up to one size with copies of its first image, so that one compilation serves any number of
    images.

    Args:
        scheme: the encryption.
        image_keys: gives keys; see `keys_of`. A position that fills up is that of the chunk's first image, again.
        images: arrays `[k, H, W, C]` of any lengths, 0 included; images of several arrays never share a chunk. Nobody
            may change them before they have come out.
        at_most: how many images there are, if they may be few: no chunk is larger than the next power of two.

    Yields:
        Encrypted images `[m, H, W, C]` in order.

    Raises:
        ArgumentError: the scheme does not fit the images.
        KeyDiscardedError: the keys' round has ended.

    Guarantees:
        - the same bytes as one call of `encrypt`, whatever the size (`test_chunks.py::test_equals_one_call`).
        - at most two chunks of keys and images are held, and no copy of a key is left however the stream ends
          (`test_chunks.py::test_no_copy_of_a_key_is_left`).
        - one compilation (`test_chunks.py::test_compiles_once`).
    """
    counts: deque[int] = deque()
    copies: deque[jax.Array] = deque()
    on_cpu = jax.default_backend() == "cpu"

    def filled_up() -> Iterator[tuple[jax.Array, np.ndarray]]:
        position = 0
        for array in images:
            size = chunk_size(array[:1].nbytes, at_most)
            for first in range(0, len(array), size):
                chunk = array[first : first + size]
                counts.append(len(chunk))
                rows = np.arange(size)
                rows[len(chunk) :] = 0
                copies.append(image_keys(position + rows))
                whole = chunk if len(chunk) == size else chunk[rows]
                # Nobody writes to it any more, so a CPU may use its memory, if that is aligned, and need not copy it.
                # What `device_put` would cut to 32 bits is left for the encryption to refuse.
                as_it_is = on_cpu and jax.dtypes.canonicalize_dtype(whole.dtype) == whole.dtype
                yield copies[-1], jax.device_put(whole) if as_it_is else whole
                position += len(chunk)

    def erase_oldest() -> None:
        keys = copies.popleft()
        if keys.shape:
            erase(keys)

    try:
        for encrypted in encrypt_stream(scheme, filled_up()):
            erase_oldest()
            yield encrypted[: counts.popleft()]
    finally:
        while copies:
            erase_oldest()


def chunk_size(image_bytes: int, at_most: int | None = None) -> int:
    """Say how many images are encrypted at a time: a power of two, up to 256 images or 16 MiB.

    Args:
        image_bytes: of one image.
        at_most: as for `encrypt_chunks`.
    """
    size = 1 << (max(1, min(_IMAGES, _BYTES // max(1, image_bytes))).bit_length() - 1)
    return size if at_most is None else min(size, 1 << max(at_most - 1, 0).bit_length())
