"""Decode image files of uncertain origin into arrays of one shape.

Photographs that people upload are truncated, mislabelled, rotated by a tag, or hostile. Whatever is wrong with one of
them is the fault of that one: it is told by a reason, and the others go on.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dkjax.errors import ArgumentError
from dkjax.runtime.threads import on_all_cores
from dkjax.sources.resize import check_image_size

# Only formats of photographs and their kin: for some others Pillow starts outside programs (Ghostscript for EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")

_GREY_MODES = ("1", "L", "LA")
# Modes of 8 bits a channel, whose conversion loses nothing but what the user gives up (colour, transparency).
_EIGHT_BIT_MODES = (*_GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Unreadable:
    """What stands in the place of an image that could not be decoded."""

    reason: str


def decode_images(
    files: Iterable[Path | bytes], image_size: tuple[int, int], channels: int
) -> list[NDArray[np.uint8] | Unreadable]:
    """Decode images on all cores.

    The orientation that EXIF tells is applied; palette, grey, CMYK and transparent images become RGB or grey, where
    transparency is dropped; the first frame stands for an animation; the image is resized like
    `dkjax.sources.resize.resize_images`.

    Args:
        files: paths, or the bytes of image files.
        image_size: (H, W).
        channels: 3 for RGB, 1 for grey.

    Returns:
        In the order of `files`: uint8[H, W, channels], or why there is no such array.

    Raises:
        ArgumentError: an image size that is not positive, or another number of channels.

    Guarantees:
        - Threads change nothing (`tests/sources/test_decode.py::test_order_is_kept`).
        - Any bytes give an image or a reason (`tests/sources/test_decode.py::test_any_bytes`).
        - Images of more pixels than Pillow's limit are refused
          (`tests/sources/test_decode.py::test_decompression_bomb_is_refused`).
    """
    if channels not in (1, 3):
        raise ArgumentError(f"channels must be 1 (grey) or 3 (RGB) for image files, got {channels}")
    decode = partial(_decode_one, image_size=check_image_size(image_size), mode="L" if channels == 1 else "RGB")
    # Pillow lets go of the interpreter while it decodes and resizes, so threads are enough.
    return on_all_cores(decode, files)


def _decode_one(file: Path | bytes, image_size: tuple[int, int], mode: str) -> NDArray[np.uint8] | Unreadable:
    """Decode one image, or say why that is impossible."""
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():
            # A pipe would keep us waiting.
            return Unreadable("not a regular file")
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                # Pillow itself only warns up to twice its limit.
                return Unreadable(f"{image.width}x{image.height} pixels, more than the {limit} that are decoded")
            if image.mode not in _EIGHT_BIT_MODES:
                return Unreadable(f"mode {image.mode} has more than 8 bits a channel; convert the file to 8 bits first")
            upright = _converted(ImageOps.exif_transpose(image), mode)
    except UnidentifiedImageError:
        return Unreadable(f"not an image file ({', '.join(FORMATS)})")
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's readers raise nearly anything on damaged files: SyntaxError, struct.error, ZeroDivisionError, ...
        # Its warnings arrive here too where the program has turned them into errors.
        return Unreadable(" ".join(str(error).split()) or type(error).__name__)
    height, width = image_size
    resized = upright if upright.size == (width, height) else upright.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Convert to RGB or L along one path for every mode, so that equal pictures give equal bytes."""
    if image.mode == mode:
        return image
    if image.mode in _GREY_MODES:
        return image.convert("L").convert(mode)
    if isinstance(image.info.get("transparency"), bytes):
        # A palette with a transparency for each colour; Pillow warns unless it goes through RGBA.
        image = image.convert("RGBA")
    return image.convert("RGB").convert(mode)
