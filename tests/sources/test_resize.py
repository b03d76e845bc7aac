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
