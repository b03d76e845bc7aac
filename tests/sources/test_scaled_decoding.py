"""JPEG decoded at a smaller scale: the same picture to within a few levels, and nothing else decoded otherwise."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from skimage import data
from skimage.metrics import structural_similarity

from dkjax.sources.decode import Unreadable, decode_images
from dkjax.sources.preparation import Decode, Preparation, Resize


def jpeg(picture: Image.Image, orientation: int = 1, form: str = "JPEG", **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


def both(content: bytes, size: tuple[int, int], channels: int = 3, resize: Resize = "stretch") -> list[np.ndarray]:
    """The image decoded at a smaller scale, and exactly."""

    def decoded(decode: Decode) -> np.ndarray:
        (image,) = decode_images([content], size, channels, Preparation(resize=resize, decode=decode))
        assert not isinstance(image, Unreadable), image.reason
        assert image.shape == (*size, channels)
        return image

    return [decoded("scaled"), decoded("exact")]


def photograph(width: int, height: int) -> Image.Image:
    """512 x 512 pixels of a photograph, so that every pixel is one of a camera unless it is enlarged."""
    return Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)


def differences(scaled: np.ndarray, exact: np.ndarray) -> tuple[float, int]:
    levels = np.abs(scaled.astype(int) - exact)
    return float(levels.mean()), int(levels.max())


@pytest.mark.parametrize(
    "picture",
    [data.astronaut, data.chelsea, data.coffee, data.rocket],
    ids=("astronaut", "chelsea", "coffee", "rocket"),
)
@pytest.mark.parametrize("size", [96, 48, 28])
def test_photographs(picture: Callable[[], np.ndarray], size: int) -> None:
    scaled, exact = both(jpeg(Image.fromarray(picture()), quality=90), (size, size))
    mean, most = differences(scaled, exact)
    assert mean < 1
    assert most <= 12
    assert structural_similarity(scaled, exact, channel_axis=2, data_range=255) > 0.998


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_same_picture(resize: Resize, orientation: int) -> None:
    """Turned as EXIF says and cut alike, at sides that no scale divides: a shift by a pixel would show."""
    scaled, exact = both(jpeg(photograph(451, 309), orientation, quality=95), (32, 48), resize=resize)
    mean, most = differences(scaled, exact)
    assert 0 < mean < 1 and most <= 14
    shifted = differences(np.roll(exact, 1, axis=1), exact)
    assert shifted[0] > 10 * mean


@pytest.mark.parametrize(("width", "scale"), [(127, 1), (128, 2), (255, 2), (256, 4), (511, 4), (512, 8), (1100, 8)])
def test_the_smallest_scale_of_at_least_twice_the_size(width: int, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    load = JpegImagePlugin.JpegImageFile.load

    def spy(image: JpegImagePlugin.JpegImageFile) -> object:
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", spy)
    content = jpeg(photograph(width, 600))
    decode_images([content], (32, 32), 3, Preparation(decode="scaled"))
    assert set(decoded) == {(-(-width // scale), -(-600 // scale))}


def test_nothing_changes_below_four_times_the_size() -> None:
    scaled, exact = both(jpeg(photograph(127, 500)), (32, 32))
    np.testing.assert_array_equal(scaled, exact)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_other_formats_are_decoded_exactly(form: str) -> None:
    scaled, exact = both(jpeg(photograph(400, 300), form=form), (32, 32))
    np.testing.assert_array_equal(scaled, exact)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_print_colours(mode: str, channels: int) -> None:
    scaled, exact = both(jpeg(photograph(400, 300).convert(mode), quality=95), (32, 32), channels)
    assert 0 < differences(scaled, exact)[0] < 0.7


def test_damaged_files_have_a_reason() -> None:
    content = jpeg(photograph(400, 300))
    for damaged in (content[:200], content[: len(content) // 2], content[:2] + b"\xff\xda" + content[2:]):
        (image,) = decode_images([damaged], (32, 32), 3, Preparation(decode="scaled"))
        (exact,) = decode_images([damaged], (32, 32), 3)
        assert isinstance(image, Unreadable) == isinstance(exact, Unreadable)
