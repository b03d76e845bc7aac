"""Bring images to the size and the number of channels that the model wants."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dkjax.errors import ArgumentError


def check_image_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Check that an image size is two positive whole numbers, height and width, and return it as a tuple."""
    size = tuple(image_size)
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise ArgumentError(f"image_size must be two positive whole numbers (height, width), got {image_size!r}")
    return int(size[0]), int(size[1])


def resize_images(images: NDArray[np.uint8], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize images with an antialiased bilinear filter.

    Height and width are scaled independently: an image is never cropped, its proportions may change. Each channel is
    filtered by itself; a fourth channel is not taken for transparency.

    Args:
        images: uint8[n, h, w, c], any c.
        image_size: (H, W).

    Returns:
        uint8[n, H, W, c]. The images themselves, not a copy, where they have that size already.

    Raises:
        ArgumentError: images of another dtype or rank, or a size that is not positive.

    Guarantees:
        - The right size changes nothing (`tests/sources/test_resize.py::test_same_size_is_the_identity`).
        - Channels do not mix (`tests/sources/test_resize.py::test_channels_are_resized_alone`).
        - A constant image stays constant (`tests/sources/test_resize.py::test_constant_stays_constant`).
    """
    height, width = check_image_size(image_size)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ArgumentError(f"images must be uint8[n, h, w, c], got {images.dtype}{list(images.shape)}")
    if images.shape[1:3] == (height, width):
        return images
    resized = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for source, target in zip(images, resized, strict=True):
        if images.shape[3] == 3:
            target[...] = _resize_one(source, (height, width))
        else:
            # Pillow's modes of two and four channels weigh colours by transparency; planes cannot be misread.
            for channel in range(images.shape[3]):
                target[..., channel] = _resize_one(source[..., channel], (height, width))
    return resized


def to_channels(images: NDArray[np.uint8], channels: int | None) -> NDArray[np.uint8]:
    """Turn colour images grey, or grey images into colour.

    Grey is the luma of ITU-R 601 with Pillow's rounding, so arrays and image files give the same bytes; colour from
    grey repeats the one channel.

    Args:
        images: uint8[..., c].
        channels: 1 or 3, or None to leave the images as they are.

    Returns:
        uint8[..., channels]; the images themselves where nothing is to be done.

    Raises:
        ArgumentError: a conversion other than 1 to 3 or 3 to 1.

    Guarantees:
        The same bytes as Pillow's mode L (`tests/sources/test_resize.py::test_grey_equals_pillow`).
    """
    have = images.shape[-1]
    if channels is None or channels == have:
        return images
    if (have, channels) == (1, 3):
        return np.repeat(images, 3, axis=-1)
    if (have, channels) == (3, 1):
        red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
        luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
        return luma.astype(np.uint8)[..., None]
    raise ArgumentError(
        f"channels={channels} cannot be made from {have} channels; use 1 (grey) or 3 (RGB), or leave it out"
    )


def _resize_one(image: NDArray[np.uint8], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize one RGB image or one plane."""
    height, width = image_size
    # Without a gap Pillow filters with a support that grows with the reduction, which is what antialiases.
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
