"""Sizes and channels of arrays of images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dkjax.errors import ArgumentError
from dkjax.sources import resize_images, to_channels


def _images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_same_size_is_the_identity() -> None:
    images = _images(3, 5, 7, 2)
    assert resize_images(images, (5, 7)) is images


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(4, 4), (9, 3), (40, 31)])
def test_channels_are_resized_alone(channels: int, size: tuple[int, int]) -> None:
    images = _images(2, 13, 8, channels)
    together = resize_images(images, size)
    assert together.shape == (2, *size, channels)
    assert together.dtype == np.uint8
    for channel in range(channels):
        alone = resize_images(images[..., channel : channel + 1], size)
        np.testing.assert_array_equal(together[..., channel : channel + 1], alone)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 255), st.tuples(*[st.integers(1, 40)] * 4))
def test_constant_stays_constant(value: int, sides: tuple[int, int, int, int]) -> None:
    images = np.full((1, sides[0], sides[1], 3), value, np.uint8)
    np.testing.assert_array_equal(resize_images(images, sides[2:]), np.full((1, *sides[2:], 3), value, np.uint8))


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((1, 64, 64, 1), np.uint8)
    stripes[:, :, ::2] = 255
    reduced = resize_images(stripes, (8, 8)).astype(int)
    assert abs(reduced - 127.5).max() < 16


def test_no_image_gives_no_image() -> None:
    assert resize_images(np.empty((0, 4, 4, 3), np.uint8), (2, 2)).shape == (0, 2, 2, 3)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4.0, 4), (1, 2, 3)])
def test_unusable_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="two positive whole numbers"):
        resize_images(_images(1, 4, 4, 1), size)


@pytest.mark.parametrize("images", [np.zeros((2, 2, 2, 1)), np.zeros((2, 2, 2), np.uint8)])
def test_unusable_images(images: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match=r"uint8\[n, h, w, c\]"):
        resize_images(images, (1, 1))


def test_grey_equals_pillow() -> None:
    # Every combination of 16 levels a channel, and random colours.
    levels = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), -1).reshape(64, 64, 3)
    for image in (levels, _images(128, 128, 3)):
        np.testing.assert_array_equal(to_channels(image, 1)[..., 0], np.asarray(Image.fromarray(image).convert("L")))


def test_colour_from_grey_repeats() -> None:
    grey = _images(2, 3, 3, 1)
    np.testing.assert_array_equal(to_channels(grey, 3), np.concatenate([grey] * 3, -1))
    np.testing.assert_array_equal(to_channels(to_channels(grey, 3), 1), grey)


def test_nothing_to_do_is_the_identity() -> None:
    images = _images(2, 3, 3, 4)
    assert to_channels(images, None) is images
    assert to_channels(images, 4) is images
    with pytest.raises(ArgumentError, match="channels=3 cannot be made from 4"):
        to_channels(images, 3)


def test_proportions_are_kept() -> None:
    wide = np.zeros((1, 20, 40, 3), np.uint8)
    wide[:, :, :10] = (200, 0, 0)  # a quarter at the left, which a crop loses
    wide[:, :, 10:30] = (0, 200, 0)
    wide[:, :, 30:] = (0, 0, 200)
    cropped = resize_images(wide, (10, 10), "crop")
    # The filter looks a little beyond the edge of what is kept.
    np.testing.assert_array_equal(cropped[:, :, 1:-1], np.broadcast_to(np.array([0, 200, 0], np.uint8), (1, 10, 8, 3)))
    assert (cropped[:, :, (0, -1), 1] > 150).all()
    padded = resize_images(wide, (20, 20), "pad")
    assert not padded[:, :5].any()
    assert not padded[:, 15:].any()
    np.testing.assert_array_equal(padded[:, 5:15], resize_images(wide, (10, 20)))
    tall = wide.swapaxes(1, 2)
    for how in ("crop", "pad"):
        np.testing.assert_array_equal(
            resize_images(tall, (12, 12), how), resize_images(wide, (12, 12), how).swapaxes(1, 2)
        )


@pytest.mark.parametrize("shape", [(7, 13), (13, 7), (8, 8), (1, 50), (300, 200)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("how", ["stretch", "crop", "pad"])
def test_every_shape_fits(shape: tuple[int, int], channels: int, how: str) -> None:
    images = np.full((2, *shape, channels), 77, np.uint8)
    resized = resize_images(images, (8, 12), how)
    assert resized.shape == (2, 8, 12, channels)
    assert set(np.unique(resized)) <= ({77} if how != "pad" else {0, 77})
    assert (resized == 77).any()


def test_same_proportions_are_resized_alike() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)
    stretched = resize_images(images, (10, 15))
    for how in ("crop", "pad"):
        np.testing.assert_array_equal(resize_images(images, (10, 15), how), stretched)
