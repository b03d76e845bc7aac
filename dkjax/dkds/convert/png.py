"""PNG images, exactly: the bytes of an array, in and out."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Z_RLE = 3  # of zlib: encrypted blocks repeat nothing from afar, and looking for that takes most of the time


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode one image `uint8[H, W, C]`, C being 1 or 3."""
    file = io.BytesIO()
    Image.fromarray(image if image.shape[2] == 3 else image[..., 0]).save(file, "PNG", compress_type=_Z_RLE)
    return file.getvalue()


def decode_png(data: bytes, image_shape: Sequence[int]) -> NDArray[np.uint8]:
    """Decode one image of a known shape.

    Args:
        data: a PNG file.
        image_shape: `(H, W, C)`.

    Returns:
        uint8[H, W, C].

    Raises:
        ValueError: it is a PNG image of another size or mode. For what is none Pillow raises what it pleases.
    """
    height, width, channels = image_shape
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        found = (picture.size, picture.mode)
        if found != ((width, height), "L" if channels == 1 else "RGB"):
            raise ValueError(f"{found[0][0]}x{found[0][1]} pixels of mode {found[1]}, expected {width}x{height}")
        return np.asarray(picture).reshape(height, width, channels)
