"""Decode image files of uncertain origin into arrays of one shape.

Photographs that people upload are truncated, mislabelled, rotated by a tag, or hostile. Whatever is wrong with one of
them is the fault of that one: it is told by a reason, and the others go on.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dkjax.errors import ArgumentError, MissingPackageError
from dkjax.runtime.threads import on_all_cores
from dkjax.sources.deep_images import read_values, upright
from dkjax.sources.dicom import DicomFileError, read_dicom, read_header
from dkjax.sources.image_file import DeepImageError, open_image, without_comments
from dkjax.sources.preparation import AS_IS, Preparation, Resize
from dkjax.sources.resize import Box, check_image_size, fitted, resize_picture, to_channels
from dkjax.sources.value_range import to_bytes

_GREY_MODES = ("1", "L", "LA")
_ORIENTATION = 0x0112  # EXIF's tag, and its values by where they put the right and the lower end of what is stored
_LYING = (5, 6, 7, 8)
_ENDS_LEFT = (2, 3, 6, 7)
_ENDS_ABOVE = (3, 4, 7, 8)


@dataclass(frozen=True)
class Unreadable:
    """What stands in the place of an image that could not be decoded."""

    reason: str


def decode_images(
    files: Iterable[Path | bytes], image_size: tuple[int, int], channels: int, preparation: Preparation = AS_IS
) -> list[NDArray[np.uint8] | Unreadable]:
    """Decode images on all cores.

    The orientation that EXIF tells is applied; palette, grey, CMYK and transparent images become RGB or grey, where
    transparency is dropped; the first frame stands for an animation, and a TIFF of several pages is refused. An image
    of more than 8 bits a channel is refused unless `preparation` says which values become 0 and 255. The image is
    resized like `dkjax.sources.resize.resize_images`. A JPEG of at least four times the size may be decoded at a
    smaller scale first, as `preparation` says.

    Args:
        files: paths, or the bytes of image files.
        image_size: (H, W).
        channels: 3 for RGB, 1 for grey.
        preparation: what becomes of other proportions and of more than 8 bits, and how a large JPEG is decoded.

    Returns:
        In the order of `files`: uint8[H, W, channels], or why there is no such array.

    Raises:
        ArgumentError: an image size that is not positive, or another number of channels.
        MissingPackageError: an image has more than 8 bits a channel, and what reads it is not installed.

    Guarantees:
        - Threads change nothing (`tests/sources/test_decode.py::test_order_is_kept`).
        - Any bytes give an image or a reason (`tests/sources/test_decode.py::test_any_bytes`).
        - Images of more pixels than Pillow's limit are refused
          (`tests/sources/test_decode.py::test_decompression_bomb_is_refused`).
        - What is decoded at a smaller scale is the same picture to within a few levels
          (`tests/sources/test_scaled_decoding.py::test_photographs`), turned and cut like any other
          (`tests/sources/test_scaled_decoding.py::test_same_picture`).
        - No more than 8 bits are cut to 8 without a word (`tests/sources/test_decode.py::test_no_silent_cut`).
    """
    if channels not in (1, 3):
        raise ArgumentError(f"channels must be 1 (grey) or 3 (RGB) for image files, got {channels}")
    decode = partial(
        _decode_one,
        image_size=check_image_size(image_size),
        mode="L" if channels == 1 else "RGB",
        preparation=preparation,
    )
    # Pillow lets go of the interpreter while it decodes and resizes, so threads are enough.
    return on_all_cores(decode, files)


def check_files(files: Sequence[Path], preparation: Preparation = AS_IS) -> list[Unreadable | None]:
    """Say of files which will not be decoded, as far as the first bytes of each tell; no pixel is decoded.

    Args:
        files: paths.
        preparation: what becomes of more than 8 bits.

    Returns:
        In the order of `files`: why not, or None.
    """
    return on_all_cores(partial(_check_one, preparation=preparation), files)


def stored_sizes(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Return the (H, W) of pictures as they are seen, before any resizing; None where the first bytes do not tell."""
    return on_all_cores(_stored_size, files)


def _stored_size(file: Path) -> tuple[int, int] | None:
    try:
        with _opened(file) as stream, open_image(stream) as image:
            lying = image.getexif().get(_ORIENTATION, 1) in _LYING
            return image.size if lying else image.size[::-1]
    except (MemoryError, MissingPackageError):
        raise
    except Exception:
        return None


def _check_one(file: Path, preparation: Preparation) -> Unreadable | None:
    try:
        try:
            with _opened(file) as stream, open_image(stream):
                return None
        except DicomFileError:
            read_header(file, Image.MAX_IMAGE_PIXELS)
            return None
    except DeepImageError as deep:
        return _reason(deep) if preparation.value_range is None else None
    except (MemoryError, MissingPackageError):
        raise
    except Exception as error:
        return _reason(error)


def _decode_one(
    file: Path | bytes, image_size: tuple[int, int], mode: str, preparation: Preparation
) -> NDArray[np.uint8] | Unreadable:
    """Decode one image, or say why that is impossible."""
    shown: Box | None = None
    try:
        try:
            with _opened(file) as stream:
                try:
                    picture, shown = _loaded(stream, image_size, mode, preparation)
                except DeepImageError:
                    raise
                except (ValueError, SyntaxError):
                    # What follows the pixels of a PNG may be at fault, and is no part of the picture.
                    copy = without_comments(stream)
                    if copy is None:
                        raise
                    picture, shown = _loaded(copy, image_size, mode, preparation)
        except DeepImageError as deep:
            if preparation.value_range is None:
                raise
            picture = _shallow(file, deep, mode, preparation)
        except DicomFileError:
            pixels = read_dicom(file, preparation.value_range, Image.MAX_IMAGE_PIXELS)
            picture = _picture(pixels, mode)
    except (MemoryError, MissingPackageError):
        raise
    except Exception as error:
        # Pillow's readers raise nearly anything on damaged files: SyntaxError, struct.error, ZeroDivisionError, ...
        # Its warnings arrive here too where the program has turned them into errors.
        return _reason(error)
    pixels = np.asarray(resize_picture(picture, image_size, preparation.resize, shown))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _loaded(
    stream: BinaryIO, image_size: tuple[int, int], mode: str, preparation: Preparation
) -> tuple[Image.Image, Box | None]:
    """Decode an image and turn it upright; say which part of the pixels shows it, if the last ones are not whole."""
    with open_image(stream) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
        wanted = image_size if orientation in _LYING else image_size[::-1]
        seen = None if preparation.decode == "exact" else _at_a_smaller_scale(image, wanted, preparation.resize)
        picture = _converted(ImageOps.exif_transpose(image), mode)
    if seen is None:
        return picture, None
    width, height = seen[::-1] if orientation in _LYING else seen
    left = picture.width - width if orientation in _ENDS_LEFT else 0
    top = picture.height - height if orientation in _ENDS_ABOVE else 0
    return picture, (left, top, left + width, top + height)


def _at_a_smaller_scale(image: Image.Image, wanted: tuple[int, int], resize: Resize) -> tuple[float, float] | None:
    """Let a JPEG be decoded at the smallest scale that is at least twice the width and height wanted.

    Returns:
        The width and height that the picture has at that scale, which may end within the last pixels; None if every
        pixel will be decoded.
    """
    size = image.size
    if resize == "pad":
        wanted = fitted(size, wanted)
    drafted = image.draft(None, (2 * wanted[0], 2 * wanted[1]))
    if drafted is None or image.size == size:
        return None
    _, (_, _, width, height) = drafted
    return width, height


def _reason(error: Exception) -> Unreadable:
    return Unreadable(" ".join(str(error).split()) or type(error).__name__)


def _opened(file: Path | bytes) -> BinaryIO:
    if isinstance(file, bytes):
        return io.BytesIO(file)
    if file.exists() and not file.is_file():
        # A pipe would keep us waiting.
        raise ValueError("not a regular file")
    return file.open("rb")


def _shallow(file: Path | bytes, deep: DeepImageError, mode: str, preparation: Preparation) -> Image.Image:
    """Read an image of more than 8 bits, and bring it to 8."""
    assert preparation.value_range is not None
    values = upright(read_values(file, deep.form), deep.orientation)
    return _picture(to_bytes(values, preparation.value_range, deep.depth.declared), mode)


def _picture(pixels: NDArray[np.uint8], mode: str) -> Image.Image:
    """Make a picture of mode RGB or L of bytes [H, W, 1 or 3]."""
    if mode == "RGB":
        return Image.fromarray(to_channels(pixels, 3))
    return Image.fromarray(to_channels(pixels, 1)[..., 0])


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
