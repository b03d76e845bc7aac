"""A batch in a data pipeline: columns in, the same columns out, the images encrypted under keys that nobody has.

The function is all that a pipeline has to know: `datasets.map(batched=True)`, Ray Data, Apache Beam and their like call
it with a dictionary, in as many processes and threads as they please. See docs/pipelines.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dkjax import keys
from dkjax.cipher.chunks import encrypt_chunks
from dkjax.cipher.scheme import Scheme
from dkjax.errors import ArgumentError
from dkjax.runtime import forks

_PIL_MODES = ("L", "RGB")


def encrypt_batch(
    batch: Mapping[str, Any], *, scheme: Scheme, image: str = "image", prng: str = "chacha20"
) -> dict[str, Any]:
    """Encrypt the images of a batch, each under a key of its own that is erased before this returns.

    The keys come from the operating system at every call: nothing is shared between calls, threads or processes, and
    nobody can decrypt. Every other column goes through as it is: names of files in it, for example, stay readable.

    Args:
        batch: columns by name.
        scheme: which transforms, on blocks of which size.
        image: the column of the images, all of one size: an array `[n, H, W, C]` or `[n, H, W]`; or a list of arrays,
            of nested lists of numbers, or of PIL images of mode L or RGB, which are turned upright as EXIF says. Any
            dtype that `dkjax.encrypt` takes; 64-bit whole numbers must be 0..255 and become uint8.
        prng: the PRNG of the keys.

    Returns:
        A new dictionary with the same columns. The images come as an array where they came as an array or as lists,
        and as a list of PIL images where they came so. Those hold pixels and nothing else, no EXIF, name or format, and
        pipelines that write them choose PNG.

    Raises:
        ArgumentError: there is no such column, or its images cannot be used; or as `dkjax.encrypt`.
        ConfigError: the PRNG may not hold cipher keys.
        ForkedProcessError: this process was forked from one in which JAX was at work.

    Guarantees:
        - the same image twice gives two encryptions, in one batch or two (`test_batch.py::test_keys_are_fresh`).
        - no key outlives the call, even a failed one (`test_batch.py::test_no_key_outlives_the_call`).
        - short batches do not compile again (`test_batch.py::test_short_batches_do_not_recompile`).
        - threads do not disturb each other (`test_batch.py::test_threads`), nor do processes, which are refused where
          they would hang (`test_pipelines.py::test_two_processes`, `test_forks.py::test_a_fork_of_jax_is_refused`).

    Example:
        >>> import numpy as np, dkjax
        >>> scheme = dkjax.schemes.disposable(block_size=4)
        >>> batch = {"image": np.zeros((2, 8, 12, 3), np.uint8), "label": [0, 1]}
        >>> encrypted = dkjax.encrypt_batch(batch, scheme=scheme)
        >>> encrypted["image"].shape, encrypted["label"]
        ((2, 8, 12, 3), [0, 1])
    """
    forks.refuse_fork()
    if image not in batch:
        raise ArgumentError(f"the batch has no column {image!r}, only {', '.join(batch)}: name it, image=...")
    columns = dict(batch)
    columns[image] = _encrypt_column(columns[image], scheme, prng)
    return columns


def _encrypt_column(column: Any, scheme: Scheme, prng: str) -> Any:
    """Find out how the images came, and give them back in the same way."""
    one_by_one = isinstance(column, Sequence) or (isinstance(column, np.ndarray) and column.dtype == object)
    if not one_by_one:
        return _encrypt_array(np.asarray(column), scheme, prng)
    if not len(column):
        return column[:]
    from PIL import Image

    if any(isinstance(one, Image.Image) for one in column):
        pixels = _stacked([_pixels(one) for one in column])
        return [Image.fromarray(one) for one in _encrypt_array(pixels, scheme, prng)]
    return _encrypt_array(_stacked([_values(one) for one in column]), scheme, prng)


def _pixels(picture: Any) -> np.ndarray:
    from PIL import Image, ImageOps

    if not isinstance(picture, Image.Image):
        raise ArgumentError(f"a column of PIL images has a {type(picture).__name__} in it: remove that record first")
    if picture.mode not in _PIL_MODES:
        raise ArgumentError(f'images must have mode L or RGB, got {picture.mode}: picture.convert("RGB") first')
    return np.asarray(ImageOps.exif_transpose(picture))


def _values(one: Any) -> np.ndarray:
    """Make an array of one image."""
    try:
        array = np.asarray(one)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf":
        kind = "ragged lists" if isinstance(one, list) else type(one).__name__
        raise ArgumentError(
            f"expected images as arrays, lists [H][W][C] of numbers or PIL images, got {kind}: decode them first"
        )
    return array


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    kinds = {(one.shape, one.dtype) for one in images}
    if len(kinds) > 1:
        one, other = sorted(f"{dtype}{list(shape)}" for shape, dtype in kinds)[:2]
        raise ArgumentError(f"the images of a batch must be alike, got {one} and {other}: resize and convert first")
    return np.stack(images)


def _encrypt_array(images: np.ndarray, scheme: Scheme, prng: str) -> np.ndarray:
    """Encrypt images `[n, H, W, C]` or `[n, H, W]` under fresh keys."""
    if images.ndim == 3:
        return _encrypt_array(images[..., None], scheme, prng)[..., 0]
    if images.ndim != 4:
        raise ArgumentError(f"images must have shape [n, H, W, C] or [n, H, W], got {list(images.shape)}")
    if images.dtype in (np.int64, np.uint64):
        images = _bytes(images)
    scheme.check(images.shape[1:], images.dtype)
    encrypted = np.empty_like(images, order="C", subok=False)
    ratchet = keys.disposable(prng=prng)
    try:
        with ratchet.next_round() as round_keys:
            # What fills the last chunk up has keys that no other image has.
            chunk_keys = lambda rows: round_keys.for_client(f"chunk {rows[0]}", len(rows))  # noqa: E731
            filled = 0
            for chunk in encrypt_chunks(scheme, chunk_keys, [images], at_most=len(images)):
                encrypted[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
    finally:
        ratchet.discard()
    return encrypted


def _bytes(images: np.ndarray) -> np.ndarray:
    """Narrow whole numbers of 64 bits, which lists are and to which `datasets` widens what was stored in 8."""
    if images.size and not 0 <= images.min() <= images.max() <= 255:
        raise ArgumentError(f"images of {images.dtype} must hold 0..255, got {images.min()}..{images.max()}")
    return images.astype(np.uint8)
