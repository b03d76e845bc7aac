"""`encrypt` and `decrypt`: images to blocks, through the transforms, and back to images."""

import math

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.reference.keystream import check_keys, split
from dkjax.reference.schemes import Scheme
from dkjax.reference.transforms import BlockShape


def encrypt(scheme: Scheme, image_keys: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Encrypt images, each under its own key.

    Args:
        scheme: from `by_name`.
        image_keys: `uint32[..., W]`; an axis of length 1 shares its key along that axis of the images, and a single
            key `uint32[W]` is shared by all.
        images: `[..., H, W, C]`, `uint8`; any integer or floating dtype for schemes that only move values
            (`disposable`, `horio`, `qi`, `patch_shuffle`).

    Returns:
        The encrypted images, of the shape and dtype of `images`.

    Raises:
        ArgumentError: keys and images do not fit each other, or the scheme is not one for such images.

    Example:
        >>> import numpy as np
        >>> from dkjax import reference
        >>> scheme = reference.by_name("disposable", block_size=4)
        >>> next_root, round_key = reference.advance(reference.disposable_root())
        >>> keys = reference.image_keys(round_key, "plant-a", 2)
        >>> images = np.zeros((2, 8, 12, 3), np.uint8)
        >>> reference.encrypt(scheme, keys, images).shape
        (2, 8, 12, 3)
    """
    return _run(scheme, image_keys, images, inverse=False)


def decrypt(scheme: Scheme, image_keys: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Decrypt images with the keys they were encrypted with; arguments and errors are those of `encrypt`."""
    return _run(scheme, image_keys, images, inverse=True)


def _run(scheme: Scheme, image_keys: np.ndarray, images: np.ndarray, *, inverse: bool) -> np.ndarray:
    keys, images = check_keys(image_keys), np.asarray(images)
    shape = _check(scheme, keys, images)
    keys = _one_row_each(keys, images.shape[:-3])
    children = split(keys, len(scheme.transforms))
    steps = [(step, step.sample(children[:, i], shape)) for i, step in enumerate(scheme.transforms)]
    blocks = _to_blocks(images, shape)
    for step, parameters in reversed(steps) if inverse else steps:
        blocks = (step.invert if inverse else step.apply)(parameters, blocks, shape)
    return _from_blocks(blocks, images.shape, shape)


def _one_row_each(keys: np.ndarray, leading: tuple[int, ...]) -> np.ndarray:
    """One key for every image, `uint32[B, W]`; a single key stays one, so that it draws once."""
    if keys.ndim == 1:
        return keys[None]
    return np.broadcast_to(keys, (*leading, keys.shape[-1])).reshape(math.prod(leading), keys.shape[-1])


def _to_blocks(images: np.ndarray, shape: BlockShape) -> np.ndarray:
    """Cut images `[..., H, W, C]` into blocks `[B, N, P]`: blocks row by row, values in row, column, channel order."""
    *leading, height, width, channels = images.shape
    side = shape.block_size
    tiles = images.reshape(math.prod(leading), height // side, side, width // side, side, channels)
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(len(tiles), shape.num_blocks, shape.values)


def _from_blocks(blocks: np.ndarray, image_shape: tuple[int, ...], shape: BlockShape) -> np.ndarray:
    """Put blocks `[B, N, P]` together to images."""
    height, width, channels = image_shape[-3:]
    side = shape.block_size
    tiles = blocks.reshape(len(blocks), height // side, width // side, side, side, channels)
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(image_shape)


def _check(scheme: Scheme, keys: np.ndarray, images: np.ndarray) -> BlockShape:
    if images.dtype.kind not in "iuf":
        raise ArgumentError(f"images must be integers or floating point numbers, got {images.dtype}")
    if images.ndim < 3 or min(images.shape[-3:]) < 1:
        raise ArgumentError(f"images must have shape [..., height, width, channels], got {list(images.shape)}")
    height, width, channels = images.shape[-3:]
    for name, size in (("height", height), ("width", width)):
        if size % scheme.block_size:
            raise ArgumentError(f"block_size={scheme.block_size} does not divide {name}={size}")
    of_keys, leading = keys.shape[:-1], images.shape[:-3]
    fits = len(of_keys) == len(leading) and all(k in (1, size) for k, size in zip(of_keys, leading, strict=True))
    if of_keys and not fits:
        raise ArgumentError(f"keys of shape {list(of_keys)} do not fit images with leading axes {list(leading)}")
    shape = BlockShape((height // scheme.block_size) * (width // scheme.block_size), scheme.block_size, channels)
    for transform in scheme.transforms:
        transform.check(shape, images.dtype)
    return shape
