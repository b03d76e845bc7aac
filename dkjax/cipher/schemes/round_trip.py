"""Whether a user's own transforms give back what they encrypt; those of dkjax are held to it by its tests."""

import functools

import jax
import numpy as np

from dkjax.cipher import transforms
from dkjax.cipher.encryption import decrypt, encrypt
from dkjax.cipher.scheme import Scheme
from dkjax.errors import ArgumentError, DkjaxError


@functools.lru_cache(maxsize=256)
def require_round_trip(scheme: Scheme, image_shape: tuple[int, int, int]) -> None:
    """Raise `ArgumentError` unless an own scheme decrypts an image that it encrypted, to the byte.

    One that says that it has no inverse has to encrypt it, and no more.

    Args:
        scheme: any scheme; one whose transforms all come with dkjax is passed over.
        image_shape: `(H, W, C)` of the images that it is going to encrypt. One image of two blocks by two is tried, if
            the scheme takes one; otherwise one of this shape.
    """
    if all(type(step).__module__.startswith(f"{transforms.__name__}.") for step in scheme.transforms):
        return
    shape = (2 * scheme.block_size, 2 * scheme.block_size, image_shape[2])
    try:
        scheme.check(shape, np.uint8)
    except ArgumentError:
        shape = image_shape
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image_key = jax.random.key(0, impl="threefry2x32")
    try:
        encrypted = encrypt(scheme, image_key, image)
        decrypted = decrypt(scheme, image_key, encrypted) if scheme.invertible else image
    except DkjaxError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ArgumentError(f"the scheme {scheme.name} cannot encrypt uint8{list(shape)}: {problem}") from error
    for step, result in (("encrypts", encrypted), ("decrypts", decrypted)):
        if result.shape != shape or result.dtype != np.uint8:
            raise ArgumentError(
                f"the scheme {scheme.name} {step} uint8{list(shape)} to {result.dtype}{list(result.shape)}: its "
                "transforms must keep shape and dtype"
            )
    if not np.array_equal(decrypted, image):
        raise ArgumentError(
            f"the scheme {scheme.name} does not give back the image that it encrypted: let invert undo what apply does"
        )
