"""Enlarging on the devices: the bytes of Pillow, whatever the shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax.errors import ArgumentError
from dkjax.input.upscale import upscale_bilinear
from dkjax.sources import resize_images

sides = st.tuples(st.integers(1, 12), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair)))


@given(rows=sides, columns=sides, channels=st.integers(1, 4), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_equals_pillow(rows: tuple[int, int], columns: tuple[int, int], channels: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, rows[0], columns[0], channels), np.uint8)
    size = (rows[1], columns[1])
    np.testing.assert_array_equal(upscale_bilinear(jnp.asarray(images), size), resize_images(images, size))


@pytest.mark.parametrize(("side", "wanted"), [(8, 224), (28, 224), (32, 224), (96, 224), (223, 224), (224, 224)])
def test_common_sizes_in_a_program(side: int, wanted: int) -> None:
    images = np.random.default_rng(side).integers(0, 256, (3, side, side, 3), np.uint8)
    found = jax.jit(lambda images: upscale_bilinear(images, (wanted, wanted)))(images)
    np.testing.assert_array_equal(found, resize_images(images, (wanted, wanted)))


@pytest.mark.parametrize("value", [0, 255])
def test_extremes_stay(value: int) -> None:
    images = jnp.full((1, 5, 3, 1), value, jnp.uint8)
    assert (np.asarray(upscale_bilinear(images, (17, 19))) == value).all()


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"width=8 cannot be reduced to 7 here: use dkjax.sources.resize_images"):
        upscale_bilinear(jnp.zeros((1, 4, 8, 1), jnp.uint8), (9, 7))
    for images in (jnp.zeros((1, 4, 4, 1)), jnp.zeros((4, 4, 1), jnp.uint8)):
        with pytest.raises(ArgumentError, match=r"images must be uint8\[n, h, w, c\]"):
            upscale_bilinear(images, (8, 8))
