"""One image file of uncertain origin: opened without warnings, checked, or refused for a reason that is true."""

import io
import struct
import zlib
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from dkjax.errors import MissingPackageError
from dkjax.sources.deep_images import several_pages
from dkjax.sources.depth import Depth, depth_of, tiff_depth, tiff_pixel, tiff_tags
from dkjax.sources.dicom import PREAMBLE, DicomFileError, is_dicom
from dkjax.sources.jpeg_xl import BEGINNINGS as _JPEG_XL
from dkjax.sources.jpeg_xl import jpeg_xl_header

# Only formats of photographs and their kin: for some others Pillow starts outside programs (Ghostscript for EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")

# Modes of 8 bits a channel, whose conversion loses nothing but what the user gives up (colour, transparency).
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a picture consists of; the rest are comments, times, names of colour profiles.
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")

_SUBFILE_TYPE = 254
_HEAD = 1 << 20
_REDUCED, _MASK = 1, 4


class DeepImageError(ValueError):
    """A file has more than 8 bits a channel.

    Attributes:
        form: its format, as Pillow calls it.
        depth: what it stores.
        orientation: EXIF's, 1 to 8; 1 for a TIFF, whose reader applies it.
    """

    def __init__(self, form: str, depth: Depth, orientation: int = 1) -> None:
        super().__init__(
            f'{depth}: set data.range to the values that are black and white, to "bits" or to "percentile", or convert '
            "the file to 8 bits"
        )
        self.form = form
        self.depth = depth
        self.orientation = orientation


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image of at most 8 bits a channel; its pixels are not read.

    `PIL.Image.open` tells a damaged image from what is none by nothing, and warns of large ones with a line of its
    source: this asks the same readers one by one.

    Args:
        file: at its beginning; it has to stay open.

    Returns:
        The image, at the one page that is no thumbnail.

    Raises:
        DeepImageError: it has more than 8 bits a channel.
        DicomFileError: it is DICOM.
        MissingPackageError: it is HEIC or JPEG XL, and pillow-heif or pillow-jxl-plugin is not installed.
        ValueError: why it cannot be read, on one line. Others that Pillow raises on damaged files come through.

    Guarantees:
        - a picture is read whatever its comments are (`tests/sources/test_image_file.py::test_comments_do_not_matter`).
        - images of more pixels than Pillow's limit are refused
          (`tests/sources/test_decode.py::test_decompression_bomb_is_refused`).
    """
    beginning = file.read(PREAMBLE)
    if is_dicom(beginning):
        raise DicomFileError
    form = _format(beginning)
    file.seek(0)
    if form == "JXL":
        _check_jpeg_xl(file)
    try:
        image: Image.Image = Image.OPEN[form][0](file, "")
    except MemoryError:
        raise
    except Exception as error:
        picture = without_comments(file)
        if picture is None:
            raise _cannot_open(form, file, error) from None
        try:
            image, file = Image.OPEN[form][0](picture, ""), picture
        except (SyntaxError, ValueError, OSError, struct.error, zlib.error):
            raise _cannot_open(form, file, error) from None
    _check_size(image.size)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _go_to_the_one_page(image)
    if form == "JXL" and not getattr(image, "jpeg", False):
        # EXIF says how the picture was turned before; the decoder has turned it already.
        image.info.pop("exif", None)
    depth = depth_of(image, file)
    if not depth.is_bytes:
        tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
        raise DeepImageError(form, depth, 1 if tiff else image.getexif().get(0x0112, 1))
    if image.mode not in EIGHT_BIT_MODES:
        raise ValueError(f"colours in mode {image.mode} are not read; convert the file to RGB")
    return image


def _format(beginning: bytes) -> str:
    """Tell the format by the first bytes of a file."""
    if beginning[4:8] == b"ftyp" and beginning[8:12] in _HEIF_BRANDS and b"avif" not in beginning:
        _register_heif()
        return "HEIF"
    if beginning.startswith(_JPEG_XL):
        _register_jpeg_xl()
        return "JXL"
    for load in (Image.preinit, Image.init):
        load()
        for form in FORMATS:
            accept = Image.OPEN[form][1] if form in Image.OPEN else None
            if accept is not None and accept(beginning) is True:
                return form
    raise ValueError(f"not an image file ({', '.join(FORMATS)}, HEIC, JPEG XL, DICOM)")


def _register_heif() -> None:
    """Let Pillow read what telephones write."""
    try:
        import pillow_heif
    except ImportError:
        raise MissingPackageError(
            "HEIC files need pillow-heif, which is not installed: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener()


def _register_jpeg_xl() -> None:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "JPEG XL files need pillow-jxl-plugin, which is not installed: pip install pillow-jxl-plugin"
        ) from None


def _check_jpeg_xl(file: BinaryIO) -> None:
    """Look at size and depth before anything is decoded."""
    try:
        size, depth = jpeg_xl_header(file.read(_HEAD))
    except ValueError as error:
        raise ValueError(f"a JXL file that is damaged, or of a kind that is not read: {error}") from None
    file.seek(0)
    _check_size(size)
    if not depth.is_bytes:
        raise DeepImageError("JXL", depth)


def _check_size(size: tuple[int, int]) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise ValueError(
            f"{size[0]}x{size[1]} pixels, more than the {limit} that are decoded, for fear of a decompression bomb: "
            "make it smaller, or cut it"
        )


def _cannot_open(form: str, file: BinaryIO, error: Exception) -> Exception:
    """Say why a file that begins like an image cannot be opened."""
    said = " ".join(str(error).split()) or type(error).__name__
    if form == "TIFF":
        try:
            tags = tiff_tags(file)
            if not tiff_depth(tags).is_bytes:
                return DeepImageError(form, tiff_depth(tags))
            said = f"{tiff_pixel(tags)}, {said}"
        except Exception:
            # Its tags are damaged as well; what Pillow said of it is all there is.
            return ValueError(f"a TIFF file that is damaged, or of a kind that is not read: {said}")
    return ValueError(f"a {form} file that is damaged, or of a kind that is not read: {said}")


def without_comments(file: BinaryIO) -> BinaryIO | None:
    """Copy a PNG without the chunks that are not of the picture: a long or damaged comment harms nobody.

    Args:
        file: an image file.

    Returns:
        The copy, at its beginning; None if the file is no PNG.
    """
    file.seek(0)
    if file.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
        return None
    content = file.read()
    kept, place = [_PNG_SIGNATURE], 0
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunk = content[place : place + 12 + length]
        if chunk[4:8] in _PNG_CHUNKS:
            kept.append(chunk)
        place += 12 + length
    return io.BytesIO(b"".join(kept))


def _go_to_the_one_page(image: TiffImagePlugin.TiffImageFile) -> None:
    """Choose the page that is no thumbnail and no mask; refuse a file with several."""
    if image.n_frames == 1:
        return
    pages = []
    for number in range(image.n_frames):
        image.seek(number)
        if not image.tag_v2.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
            pages.append(number)
    if len(pages) != 1:
        raise ValueError(several_pages(len(pages)))
    image.seek(pages[0])
    _check_size(image.size)
