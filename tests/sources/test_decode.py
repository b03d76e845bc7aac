"""Image files of every mode, orientation and state of decay."""

import io
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dkjax.errors import ArgumentError, MissingPackageError
from dkjax.sources.decode import Unreadable, decode_images, stored_sizes
from dkjax.sources.preparation import Preparation
from dkjax.sources.resize import resize_images, to_channels


def _colour(height: int = 6, width: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _decoded(content: bytes, size: tuple[int, int] = (6, 9), channels: int = 3) -> np.ndarray:
    (result,) = decode_images([content], size, channels)
    assert not isinstance(result, Unreadable), result.reason
    return result


def _reason(content: bytes) -> str:
    (result,) = decode_images([content], (6, 9), 3)
    assert isinstance(result, Unreadable)
    assert "\n" not in result.reason
    return result.reason


def test_order_is_kept() -> None:
    images = [_colour(seed=seed) for seed in range(100)]
    files = [_encoded(Image.fromarray(image)) for image in images]
    files[7] = b"nothing"
    results = decode_images(files, (6, 9), 3)
    assert isinstance(results.pop(7), Unreadable)
    del images[7]
    np.testing.assert_array_equal(results, images)


def test_size_and_grey_are_those_of_arrays() -> None:
    colour = _colour(20, 30)
    content = _encoded(Image.fromarray(colour))
    np.testing.assert_array_equal(_decoded(content, (8, 8)), resize_images(colour[None], (8, 8))[0])
    grey = resize_images(to_channels(colour[None], 1), (8, 8))[0]
    np.testing.assert_array_equal(_decoded(content, (8, 8), 1), grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    upright = _colour()
    # How a camera stores the picture for each value of the tag.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(_decoded(content), upright)
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(content[:9])
    assert stored_sizes([tmp_path / "a.png", tmp_path / "b.png"]) == [upright.shape[:2], None]


def test_modes_become_colour() -> None:
    colour = _colour()
    picture = Image.fromarray(colour)
    alpha = Image.fromarray(colour[..., 0])
    transparent = picture.copy()
    transparent.putalpha(alpha)
    np.testing.assert_array_equal(_decoded(_encoded(transparent)), colour)

    grey = picture.convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, -1)
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    for image in (grey, grey_alpha):
        np.testing.assert_array_equal(_decoded(_encoded(image)), expected)
        np.testing.assert_array_equal(_decoded(_encoded(image), channels=1), expected[..., :1])

    two_levels = Image.fromarray(colour[..., 0] > 127)
    assert set(np.unique(_decoded(_encoded(two_levels)))) == {0, 255}

    palette = picture.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(_decoded(_encoded(palette)), expected)
    np.testing.assert_array_equal(_decoded(_encoded(palette, transparency=bytes(range(16)))), expected)
    np.testing.assert_array_equal(_decoded(_encoded(palette, transparency=3)), expected)

    cmyk = _encoded(Image.new("CMYK", (9, 6), (255, 0, 0, 0)), "JPEG", quality=100)
    assert abs(_decoded(cmyk).astype(int) - [0, 255, 255]).max() <= 3
    assert _decoded(cmyk, channels=1).shape == (6, 9, 1)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_formats(form: str) -> None:
    grey = Image.new("L", (9, 6), 77)
    assert abs(_decoded(_encoded(grey, form)).astype(int) - 77).max() <= 2


def test_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = _colour()
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(colour)).save(buffer, quality=-1, chroma=444)
    by_pillow_heif = np.asarray(pillow_heif.open_heif(io.BytesIO(buffer.getvalue())).to_pillow())
    np.testing.assert_array_equal(_decoded(buffer.getvalue()), by_pillow_heif)
    deep = io.BytesIO()
    ten_bits = pillow_heif.from_bytes("RGB;16", (9, 6), (_ramp(3) * 16).astype("<u2").tobytes())
    ten_bits.save(deep, quality=-1)
    assert _reason(deep.getvalue()).startswith("10 bits a channel")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackageError, match="pip install pillow-heif"):
        _decoded(buffer.getvalue())


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "blue")]
    content = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(_decoded(content)[0, 0], [255, 0, 0])


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("I", np.int32), ("F", np.float32)])
def test_modes_that_conversion_would_damage(mode: str, dtype: type) -> None:
    image = Image.fromarray(np.full((6, 9), 300, dtype))
    assert image.mode == mode
    form = "PNG" if mode == "I;16" else "TIFF"
    stored = {"I;16": "16 bits a channel", "I": "32 bits a channel (signed)", "F": "32 bits a channel (floating-point"}
    assert _reason(_encoded(image, form)).startswith(stored[mode])


def _ramp(channels: int, greatest: int = 4095) -> np.ndarray:
    ramp = np.linspace(0, greatest, 54).round().astype(np.uint16).reshape(6, 9)
    return np.stack([ramp // (channel + 1) for channel in range(channels)], -1)


def _deep_files() -> dict[str, tuple[bytes, np.ndarray]]:
    """Files of 12-bit values in 16 bits, and the values: what scientific cameras and scanners write."""
    grey, colour, four = _ramp(1), _ramp(3), _ramp(4)
    tiff = {}
    for name, pixels, photometric in (("grey", grey[..., 0], "minisblack"), ("colour", colour, "rgb")):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, photometric=photometric)
        tiff[name] = buffer.getvalue()
    pgm = b"P5 9 6 65535\n" + grey.astype(">u2").tobytes()
    ppm = b"P6\n# a comment\n9 6\n65535\n" + colour.astype(">u2").tobytes()
    return {
        "png grey": (imagecodecs.png_encode(grey[..., 0]), grey),
        "png grey alpha": (imagecodecs.png_encode(_ramp(2)), grey),
        "png colour": (imagecodecs.png_encode(colour), colour),
        "png colour alpha": (imagecodecs.png_encode(four), colour),
        "tiff grey": (tiff["grey"], grey),
        "tiff colour": (tiff["colour"], colour),
        "jpeg 2000 grey": (imagecodecs.jpeg2k_encode(grey[..., 0], level=0), grey),
        "jpeg 2000 colour": (imagecodecs.jpeg2k_encode(colour, level=0), colour),
        "jpeg 2000 of 12 bits": (imagecodecs.jpeg2k_encode(colour, level=0, bitspersample=12), colour),
        "pgm": (pgm, grey),
        "ppm": (ppm, colour),
    }


DEEP = _deep_files()


@pytest.mark.parametrize("name", DEEP)
def test_no_silent_cut(name: str) -> None:
    content, values = DEEP[name]
    assert "bits a channel: set data.range" in _reason(content)
    expected = np.rint(np.clip(values / 4095, 0, 1) * 255)
    if values.shape[2] == 1:
        expected = np.repeat(expected, 3, -1)
    (image,) = decode_images([content], (6, 9), 3, Preparation(value_range=(0, 4095)))
    assert not isinstance(image, Unreadable), image.reason
    np.testing.assert_array_equal(image, expected)
    (image,) = decode_images([content], (6, 9), 3, Preparation(value_range="percentile"))
    low, high = np.percentile(values, [1, 99])
    stretched = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(image[..., : values.shape[2]], stretched)
    (image,) = decode_images([content], (6, 9), 3, Preparation(value_range="bits"))
    greatest = 4095 if "12 bits" in name else 65535
    np.testing.assert_array_equal(image[..., : values.shape[2]], np.rint(values / greatest * 255))


def test_eight_bits_have_no_range() -> None:
    colour = _colour()
    content = _encoded(Image.fromarray(colour))
    (image,) = decode_images([content], (6, 9), 3, Preparation(value_range=(0, 4095)))
    np.testing.assert_array_equal(image, colour)


@pytest.mark.parametrize(("dtype", "range_"), [(np.int16, (-1000, 1000)), (np.float32, (0.0, 1.0))])
def test_signed_and_floating_values(dtype: type, range_: tuple[float, float]) -> None:
    values = np.linspace(range_[0] - 1, range_[1] + 1, 54).astype(dtype).reshape(6, 9)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values)
    assert "signed" in _reason(buffer.getvalue()) or "floating" in _reason(buffer.getvalue())
    (image,) = decode_images([buffer.getvalue()], (6, 9), 1, Preparation(value_range=range_))
    low, high = range_
    expected = np.rint(np.clip((values.astype(np.float64) - low) * (255 / (high - low)), 0, 255))
    np.testing.assert_array_equal(image[..., 0], expected)


def test_signed_bytes_are_refused() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.arange(-27, 27, dtype=np.int8).reshape(6, 9))
    assert _reason(buffer.getvalue()).startswith("8 bits a channel (signed)")
    signed = imagecodecs.jpeg2k_encode(np.arange(-27, 27, dtype=np.int16).reshape(6, 9), level=0)
    assert _reason(signed).startswith("16 bits a channel (signed)")
    (image,) = decode_images([signed], (6, 9), 1, Preparation(value_range=(-27, 26)))
    np.testing.assert_array_equal(image[..., 0].ravel(), np.rint(np.arange(54) * (255 / 53)))


def test_white_is_zero_and_orientation_of_deep_images() -> None:
    values = _ramp(1)[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="miniswhite", extratags=[(274, "H", 1, 3, True)])
    (image,) = decode_images([buffer.getvalue()], (6, 9), 1, Preparation(value_range="bits"))
    np.testing.assert_array_equal(image[..., 0], np.rint((65535 - values[::-1, ::-1]) / 65535 * 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    png = _encoded(Image.fromarray(np.ascontiguousarray(np.rot90(values))), exif=exif)
    (image,) = decode_images([png], (6, 9), 1, Preparation(value_range=(0, 4095)))
    np.testing.assert_array_equal(image[..., 0], np.rint(values / 4095 * 255))


def test_a_tiff_of_several_pages() -> None:
    pictures = [_colour(12, 18, seed) for seed in range(2)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for picture in pictures:
            writer.write(picture, photometric="rgb")
    assert _reason(buffer.getvalue()).startswith("2 pages; one picture a file is expected")
    thumbnail_first = io.BytesIO()
    with tifffile.TiffWriter(thumbnail_first) as writer:
        writer.write(pictures[0][::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(pictures[1], photometric="rgb")
    np.testing.assert_array_equal(_decoded(thumbnail_first.getvalue(), (12, 18)), pictures[1])
    deep = io.BytesIO()
    with tifffile.TiffWriter(deep) as writer:
        writer.write(_ramp(1)[::2, ::2, 0], subfiletype=1)
        writer.write(_ramp(1)[..., 0])
    (image,) = decode_images([deep.getvalue()], (6, 9), 1, Preparation(value_range=(0, 4095)))
    np.testing.assert_array_equal(image, np.rint(_ramp(1) / 4095 * 255))


def test_a_package_that_is_missing_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(MissingPackageError, match=r"pip install imagecodecs"):
        decode_images([DEEP["png colour"][0]], (6, 9), 3, Preparation(value_range="bits"))


def test_broken_files() -> None:
    whole = _encoded(Image.fromarray(_colour(64, 64)), "JPEG")
    assert "truncated" in _reason(whole[: len(whole) // 2])
    assert _reason(b"").startswith("not an image file")
    assert _reason(b"I am a text").startswith("not an image file")
    assert _reason(_encoded(Image.fromarray(_colour()), "EPS")).startswith("not an image file")
    png = bytearray(_encoded(Image.fromarray(_colour(64, 64))))
    png[len(png) // 2] ^= 0xFF
    assert _reason(bytes(png))


@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "after them"])
def test_a_long_comment_is_no_reason(place: int) -> None:
    colour = _colour()
    whole = _encoded(Image.fromarray(colour))
    body = b"zTXta\0\0" + zlib.compress(bytes(2 << 20))
    comment = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    np.testing.assert_array_equal(_decoded(whole[:place] + comment + whole[place:]), colour)


def test_missing_file_is_a_reason(tmp_path: Path) -> None:
    (result,) = decode_images([tmp_path / "absent.png"], (6, 9), 3)
    assert isinstance(result, Unreadable)
    assert "No such file" in result.reason


@pytest.mark.parametrize("pixels", [1000, 5000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    reason = _reason(_encoded(Image.new("L", (pixels // 10, 10))))
    assert "900 that are decoded" in reason or "decompression bomb" in reason


def test_decompression_bomb_where_warnings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    assert "decompression bomb" in _reason(_encoded(Image.new("L", (100, 10))))


def _png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and has a few bytes to show for it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [60_000, 2**31 - 1])
def test_huge_png_is_refused(side: int) -> None:
    tracemalloc.start()
    try:
        assert "decompression bomb" in _reason(_png_of(side, side))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (result,) = decode_images([tmp_path / "pipe.png"], (6, 9), 3)
    assert result == Unreadable("not a regular file")


WHOLE = [_encoded(Image.fromarray(_colour(16, 16)), form) for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_any_bytes(whole: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(whole)
    for place, value in changes:
        content[place % len(content)] = value
    (result,) = decode_images([bytes(content)], (4, 4), 3)
    if isinstance(result, Unreadable):
        assert result.reason
        assert "\n" not in result.reason
    else:
        assert (result.shape, result.dtype) == ((4, 4, 3), np.uint8)


@pytest.mark.parametrize(("size", "channels"), [((4, 4), 2), ((4, 4), 4), ((0, 4), 3)])
def test_unusable_arguments(size: tuple[int, int], channels: int) -> None:
    with pytest.raises(ArgumentError):
        decode_images([], size, channels)
