"""Bring images to the size and the number of channels that the model wants."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dkjax.errors import ArgumentError
from dkjax.sources.preparation import Resize

Box = tuple[float, float, float, float]
"""A part of a picture: left, top, right and bottom, in pixels."""


def check_image_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Check that an image size is two positive whole numbers, height and width, and return it as a tuple."""
    size = tuple(image_size)
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in size):
        raise ArgumentError(f"image_size must be two positive whole numbers (height, width), got {image_size!r}")
    return int(size[0]), int(size[1])


def resize_images(
    images: NDArray[np.uint8], image_size: tuple[int, int], resize: Resize = "stretch"
) -> NDArray[np.uint8]:
    """Resize images with an antialiased bilinear filter.

    Each channel is filtered by itself; a fourth channel is not taken for transparency.

    Args:
        images: uint8[n, h, w, c], any c.
        image_size: (H, W).
        resize: what becomes of other proportions, see `dkjax.sources.preparation.Preparation`.

    Returns:
        uint8[n, H, W, c]. The images themselves, not a copy, where they have that size already.

    Raises:
        ArgumentError: images of another dtype or rank, or a size that is not positive.

    Guarantees:
        - The right size changes nothing (`tests/sources/test_resize.py::test_same_size_is_the_identity`).
        - Channels do not mix (`tests/sources/test_resize.py::test_channels_are_resized_alone`).
        - A constant image stays constant (`tests/sources/test_resize.py::test_constant_stays_constant`).
        - Cropped and padded images keep their proportions
          (`tests/sources/test_resize.py::test_proportions_are_kept`).
    """
    height, width = check_image_size(image_size)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ArgumentError(f"images must be uint8[n, h, w, c], got {images.dtype}{list(images.shape)}")
    if images.shape[1:3] == (height, width):
        return images
    resized = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for source, target in zip(images, resized, strict=True):
        if images.shape[3] == 3:
            target[...] = np.asarray(resize_picture(Image.fromarray(source), (height, width), resize))
        else:
            # Pillow's modes of two and four channels weigh colours by transparency; planes cannot be misread.
            for channel in range(images.shape[3]):
                plane = Image.fromarray(source[..., channel])
                target[..., channel] = np.asarray(resize_picture(plane, (height, width), resize))
    return resized


def resize_picture(
    picture: Image.Image, image_size: tuple[int, int], resize: Resize, shown: Box | None = None
) -> Image.Image:
    """Resize one picture of mode L or RGB.

    Args:
        picture: the picture.
        image_size: (H, W).
        resize: what becomes of other proportions.
        shown: the part that is taken for the picture; by default all of it.

    Returns:
        The picture of that size; itself where it has it already.
    """
    height, width = image_size
    if picture.size == (width, height):
        return picture
    left, top, right, bottom = shown = shown or (0, 0, *picture.size)
    if resize == "pad":
        inner = fitted((right - left, bottom - top), (width, height))
        padded = Image.new(picture.mode, (width, height))
        # Without a gap Pillow filters with a support that grows with the reduction, which is what antialiases.
        small = picture.resize(inner, Image.Resampling.BILINEAR, shown)
        padded.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return padded
    return picture.resize((width, height), Image.Resampling.BILINEAR, _box(shown, (width, height), resize))


def fitted(size: tuple[float, float], wanted: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height of the proportions of `size` within the ones wanted."""
    scale = min(wanted[0] / size[0], wanted[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _box(shown: Box, wanted: tuple[int, int], resize: Resize) -> Box:
    """The part of a picture that is kept."""
    if resize != "crop":
        return shown
    origin, size = shown[:2], (shown[2] - shown[0], shown[3] - shown[1])
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    left, top = ((side - scale * want) / 2 for side, want in zip(size, wanted, strict=True))
    ends = min(size[0] - left, size[0]), min(size[1] - top, size[1])
    return origin[0] + max(left, 0), origin[1] + max(top, 0), origin[0] + ends[0], origin[1] + ends[1]


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
