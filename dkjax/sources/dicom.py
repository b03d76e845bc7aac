"""DICOM files as a person sees them: one picture of 8 bits, and nothing of what the file says of anybody."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import MissingPackageError
from dkjax.sources.preparation import ValueRange
from dkjax.sources.value_range import to_bytes

PREAMBLE = 132
"""How many bytes tell a DICOM file: the last four of them are `DICM`."""

_GREY = ("MONOCHROME1", "MONOCHROME2")


class DicomFileError(ValueError):
    """A file is DICOM, which Pillow does not read."""


def is_dicom(beginning: bytes) -> bool:
    """Say whether a file is DICOM, by its first `PREAMBLE` bytes."""
    return beginning[128:PREAMBLE] == b"DICM"


def read_dicom(file: Path | bytes, value_range: ValueRange | None, max_pixels: int | None) -> NDArray[np.uint8]:
    """Read the picture of a DICOM file.

    Grey values are rescaled (slope and intercept, or the modality's table) and then windowed: by `value_range`, whose
    two numbers are rescaled values such as Hounsfield units; else by the file's table or its first window; else, where
    8 bits are stored, not at all. MONOCHROME1 is inverted, and padding is black.

    Args:
        file: its path or its bytes.
        value_range: which values become black and white, see `dkjax.sources.preparation.Preparation`.
        max_pixels: refuse more.

    Returns:
        uint8[H, W, 1 or 3].

    Raises:
        MissingPackageError: pydicom is not installed.
        ValueError: several frames, no picture, more than 8 bits without a window, a picture with text burned in, or
            colours that are not read. Others that pydicom raises on damaged files come through.

    Guarantees:
        - a window gives the values of the standard, rounded (`tests/sources/test_dicom.py::test_windows`).
        - what would make a plausible wrong picture is refused
          (`tests/sources/test_dicom.py::test_what_is_refused`).
    """
    header = read_header(file, max_pixels, pixels=True)
    stored = header.pixel_array
    if header.SamplesPerPixel == 3:
        return to_bytes(stored, value_range or "bits", (0, 2**header.BitsStored - 1))
    _check_bits(stored, header)
    pixels = _windowed(stored, header, value_range)
    if header.PhotometricInterpretation == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE":
        pixels = 255 - pixels
    pixels[_padding(stored, header)] = 0
    return pixels[..., None]


def read_header(file: Path | bytes, max_pixels: int | None, pixels: bool = False) -> Any:
    """Read what a DICOM file says of its picture, and refuse what is not read; arguments as for `read_dicom`."""
    try:
        import pydicom
    except ImportError:
        raise MissingPackageError("DICOM files need pydicom, which is not installed: pip install pydicom") from None
    header = pydicom.dcmread(file if isinstance(file, Path) else io.BytesIO(file), stop_before_pixels=not pixels)
    if "Rows" not in header or "PhotometricInterpretation" not in header:
        raise ValueError("a DICOM file without a picture")
    if int(header.get("NumberOfFrames", 1) or 1) != 1:
        raise ValueError(f"a DICOM file of {header.NumberOfFrames} frames; one picture a file is expected: split it")
    if max_pixels is not None and header.Rows * header.Columns > max_pixels:
        raise ValueError(f"{header.Columns}x{header.Rows} pixels, more than the {max_pixels} that are decoded")
    colours = header.PhotometricInterpretation
    if colours not in (*_GREY, "RGB") and not colours.startswith("YBR"):
        raise ValueError(f"DICOM colours of the kind {colours} are not read")
    if header.get("BurnedInAnnotation") == "YES":
        raise ValueError("text is burned into the picture (BurnedInAnnotation is YES): it may name a person")
    if header.BitsStored > header.BitsAllocated or header.HighBit != header.BitsStored - 1:
        raise ValueError(f"{header.BitsStored} bits that end at bit {header.HighBit} are not read")
    if "SharedFunctionalGroupsSequence" in header:
        raise ValueError("an enhanced DICOM file, whose window is told for each frame, is not read")
    return header


def _check_bits(stored: np.ndarray, header: Any) -> None:
    """Refuse values of more bits than are declared: pydicom cuts them off."""
    if header.file_meta.TransferSyntaxUID.is_compressed or header.PixelRepresentation or header.BitsAllocated > 16:
        return
    words = np.frombuffer(
        header.PixelData, f"{'<' if header.original_encoding[1] else '>'}u{header.BitsAllocated // 8}"
    )
    if (words[: stored.size] >> header.BitsStored).any():
        raise ValueError(f"values beyond the {header.BitsStored} bits that the file declares")


def _windowed(stored: np.ndarray, header: Any, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Bring stored values to 8 bits by what was asked for, or by what the file says."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    if value_range == "bits":
        signed = bool(header.PixelRepresentation)
        least = -(2 ** (header.BitsStored - 1)) if signed else 0
        return to_bytes(stored, "bits", (least, least + 2**header.BitsStored - 1))
    values = np.asarray(apply_modality_lut(stored, header))
    if value_range is not None:
        return to_bytes(values, value_range)
    if "VOILUTSequence" in header:
        item = header.VOILUTSequence[0]
        bits = int(item.LUTDescriptor[2])
        return to_bytes(np.asarray(apply_voi(values, header)), (0, 2**bits - 1))
    if "WindowCenter" in header:
        return _window(values, _first(header.WindowCenter), _first(header.WindowWidth), header.get("VOILUTFunction"))
    if header.BitsStored == 8 and not header.PixelRepresentation and values is stored:
        return stored.astype(np.uint8)
    raise ValueError(
        f"{header.BitsStored} bits, and the file has no window: set data.range to the values that are black and white, "
        'to "bits" or to "percentile"'
    )


def _window(values: np.ndarray, centre: float, width: float, function: str | None) -> NDArray[np.uint8]:
    """The windows of DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3, to 0..255."""
    if function == "SIGMOID":
        return to_bytes(1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre) / width)), (0, 1))
    if function == "LINEAR_EXACT":
        return to_bytes(values, (centre - width / 2, centre + width / 2))
    if width <= 1:
        return np.where(values > centre - 0.5, 255, 0).astype(np.uint8)
    return to_bytes(values, (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2))


def _first(value: Any) -> float:
    """The first of several windows, or the only one."""
    return float(value if isinstance(value, int | float | str) or not hasattr(value, "__getitem__") else value[0])


def _padding(stored: np.ndarray, header: Any) -> NDArray[np.bool_]:
    """Where there is no picture."""
    if "PixelPaddingValue" not in header:
        return np.zeros(stored.shape, bool)
    ends = header.PixelPaddingValue, header.get("PixelPaddingRangeLimit", header.PixelPaddingValue)
    return (stored >= min(ends)) & (stored <= max(ends))
