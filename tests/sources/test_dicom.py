"""DICOM pictures as a person sees them, beside the formulas of the standard and what pydicom makes of them."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian

from dkjax.sources.decode import Unreadable, check_files, decode_images
from dkjax.sources.preparation import AS_IS, Preparation

RAMP = np.linspace(0, 4095, 54).round().astype(np.uint16).reshape(6, 9)


def dicom(stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: object) -> bytes:
    """A DICOM file with these stored values, and a patient's name."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID, data.PatientName = CTImageStorage, "1.2.3", "Mueller^Anna"
    data.Rows, data.Columns = stored.shape[:2]
    data.SamplesPerPixel = stored.shape[2] if stored.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    if stored.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * stored.itemsize
    data.BitsStored = 8 if stored.itemsize == 1 else 12
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    data.HighBit = tags.get("HighBit", data.BitsStored - 1)
    big = syntax == ExplicitVRBigEndian
    data.PixelData = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def seen(content: bytes, preparation: Preparation = AS_IS, channels: int = 1) -> np.ndarray:
    (image,) = decode_images([content], (6, 9), channels, preparation)
    assert not isinstance(image, Unreadable), image.reason
    return image[..., 0] if channels == 1 else image


def reason(content: bytes, preparation: Preparation = AS_IS) -> str:
    (image,) = decode_images([content], (6, 9), 1, preparation)
    assert isinstance(image, Unreadable)
    assert "Mueller" not in image.reason
    return image.reason


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2047.5, 4095), (1000, 500), ([300, 2000], [100, 4000])])
def test_windows(function: str, centre: object, width: object) -> None:
    tags = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    content = dicom(RAMP, RescaleSlope=1, RescaleIntercept=-100, **tags)
    header = pydicom.dcmread(io.BytesIO(content))
    values = apply_modality_lut(header.pixel_array, header)
    by_pydicom = apply_windowing(values, header)
    low, high = -100, 3995  # the range that pydicom spreads a window over
    expected = (by_pydicom - low) / (high - low) * 255
    assert np.abs(seen(content) - expected).max() <= 0.51


def test_a_window_that_changes_nothing() -> None:
    every = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    content = dicom(every, WindowCenter=2048, WindowWidth=4096)
    (image,) = decode_images([content], (64, 64), 1)
    np.testing.assert_array_equal(image[..., 0], np.rint(every / 4095 * 255))


def test_ranges_are_of_rescaled_values() -> None:
    stored = (RAMP.astype(np.int16) - 1024).clip(-2048, 2047)
    content = dicom(stored, RescaleSlope=2, RescaleIntercept=10, WindowCenter=0, WindowWidth=10)
    units = 2.0 * stored + 10
    window = Preparation(value_range=(-1000, 400))
    np.testing.assert_array_equal(seen(content, window), np.rint(np.clip((units + 1000) / 1400, 0, 1) * 255))
    bits = Preparation(value_range="bits")
    np.testing.assert_array_equal(seen(content, bits), np.rint((stored + 2048.0) / 4095 * 255))


def test_monochrome1_is_inverted_and_padding_black() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    plain = seen(dicom(RAMP, **window))
    content = dicom(RAMP, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **window)
    expected = 255 - plain
    expected[RAMP == 0] = 0
    np.testing.assert_array_equal(seen(content), expected)


def test_bytes_order_and_colour() -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    np.testing.assert_array_equal(seen(dicom(RAMP, ExplicitVRBigEndian, **window)), seen(dicom(RAMP, **window)))
    eight = np.arange(54, dtype=np.uint8).reshape(6, 9)
    np.testing.assert_array_equal(seen(dicom(eight)), eight)
    colour = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    np.testing.assert_array_equal(seen(dicom(colour), channels=3), colour)


def test_a_table_of_values() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], (65535 - np.arange(4096) * 16).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    content = dicom(RAMP, VOILUTSequence=[table])
    np.testing.assert_array_equal(seen(content), np.rint((65535 - RAMP * 16.0) / 65535 * 255))


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "12 bits, and the file has no window: set data.range"),
        ({"NumberOfFrames": 3}, "a DICOM file of 3 frames"),
        ({"HighBit": 15}, "12 bits that end at bit 15"),
        ({"BurnedInAnnotation": "YES"}, "text is burned into the picture"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colours of the kind PALETTE COLOR"),
        ({"BitsStored": 10, "HighBit": 9, "WindowCenter": 1, "WindowWidth": 2}, "values beyond the 10 bits"),
        ({"SharedFunctionalGroupsSequence": [Dataset()]}, "an enhanced DICOM file"),
    ],
)
def test_what_is_refused(tags: dict[str, object], said: str) -> None:
    assert said in reason(dicom(RAMP, **tags))


def test_headers_are_checked_before(tmp_path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(RAMP, WindowCenter=1, WindowWidth=2))
    (tmp_path / "b.dcm").write_bytes(dicom(RAMP, NumberOfFrames=2))
    found = check_files([tmp_path / "a.dcm", tmp_path / "b.dcm"])
    assert found[0] is None
    assert found[1] is not None
    assert "2 frames" in found[1].reason


def test_damaged_files() -> None:
    content = dicom(RAMP, WindowCenter=1, WindowWidth=2)
    for length in (132, 200, len(content) - 20):
        assert reason(content[:length])
