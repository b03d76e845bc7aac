"""The values of image files of more than 8 bits a channel, as they are stored."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from dkjax.errors import MissingPackageError

_ORIENTATION = 274
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_DECODERS = {
    "PNG": "png_decode",
    "JPEG2000": "jpeg2k_decode",
    "AVIF": "avif_decode",
    "JXL": "jpegxl_decode",
    "PPM": "",  # read here
}


def read_values(file: Path | bytes, form: str) -> np.ndarray:
    """Read the pixels of a file of more than 8 bits a channel.

    Args:
        file: its path or its bytes; one whose size has been checked.
        form: its format, as Pillow calls it.

    Returns:
        Whole numbers or floats [H, W, 1 or 3] as stored, without transparency; of a TIFF whose white is 0, inverted.

    Raises:
        MissingPackageError: the package that reads the format is not installed.
        ValueError: the format is not read at that depth, or the file has other channels than grey or colour.

    Guarantees:
        - the values are those that were written (`tests/sources/test_deep_images.py::test_stored_values`).
    """
    if form == "TIFF":
        return _tiff(file)
    if form not in _DECODERS:
        raise ValueError(f"{form} of more than 8 bits a channel is not read; convert it to PNG or TIFF")
    content = file if isinstance(file, bytes) else file.read_bytes()
    values = _netpbm(content) if form == "PPM" else getattr(_package("imagecodecs"), _DECODERS[form])(content)
    return _without_alpha(values if values.ndim == 3 else values[..., None])


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image [H, W, C] the way that EXIF's orientation tells, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _tiff(file: Path | bytes) -> np.ndarray:
    import io

    tifffile = _package("tifffile")
    with tifffile.TiffFile(file if isinstance(file, Path) else io.BytesIO(file)) as tiff:
        page = _one_page(tiff)
        if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            raise ValueError(f"a TIFF of {page.bitspersample} bits whose colours are {page.photometric.name.lower()}")
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and page.imagewidth * page.imagelength > limit:
            # Pillow may not have been able to open it, and so not have looked.
            raise ValueError(f"{page.imagewidth}x{page.imagelength} pixels, more than the {limit} that are decoded")
        values = page.asarray()
        if page.samplesperpixel > 1 and int(page.planarconfig) == 2:
            values = np.moveaxis(values, 0, -1)
        values = _without_alpha(values if values.ndim == 3 else values[..., None])
        if page.photometric == _WHITE_IS_ZERO:
            values = (
                ~values
                if values.dtype.kind == "u" and page.bitspersample == 8 * values.itemsize
                else (2**page.bitspersample - 1 - values)
            )
        tag = page.tags.get(_ORIENTATION)
        return upright(values, 1 if tag is None else int(tag.value))


def _one_page(tiff: Any) -> Any:
    pages = [page for page in tiff.pages if not page.is_reduced and not page.is_mask]
    if len(pages) != 1:
        raise ValueError(several_pages(len(pages)))
    return pages[0]


def several_pages(count: int) -> str:
    """Say that a file has not the one picture that is expected."""
    return f"{count} pages; one picture a file is expected: split it into files"


def _without_alpha(values: np.ndarray) -> np.ndarray:
    """Leave transparency out: the second channel of two, the fourth of four."""
    if values.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"{values.shape[2]} channels; expected grey or colour")
    return values[..., : 1 if values.shape[2] < 3 else 3]


def _netpbm(content: bytes) -> np.ndarray:
    """Read a PGM or PPM of two bytes a value; Pillow scales it."""
    import re

    header = re.match(rb"(P[56])((?:\s+|#[^\n]*\n)+\d+){3}\s", content)
    if header is None:
        raise ValueError("a PGM or PPM in text; write it in the binary form")
    width, height, _ = (int(word) for word in re.sub(rb"#[^\n]*", b"", header[0])[2:].split())
    channels = 3 if content[:2] == b"P6" else 1
    count = width * height * channels
    return np.frombuffer(content, ">u2", count, header.end()).reshape(height, width, channels).astype(np.uint16)


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackageError(
            f"images of more than 8 bits a channel need {name}, which is not installed: pip install {name}"
        ) from None
