"""Resizing position embeddings."""

import jax
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from dkjax.errors import ArgumentError
from dkjax.models.pretrained import resize_position_embedding
from dkjax.models.pretrained.position import sincos_position_embedding

METHODS = ("bicubic", "bilinear")
GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9))


def table(grid, class_tokens=1, width=4, seed=0):
    shape = (1, class_tokens + grid[0] * grid[1], width)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def grid_of(embedding, grid):
    return embedding[0, -grid[0] * grid[1] :].reshape(*grid, -1)


@pytest.mark.parametrize("method", METHODS)
@given(grid=GRIDS, class_tokens=st.integers(0, 2))
def test_same_grid_is_the_identity(method, grid, class_tokens):
    before = table(grid, class_tokens)
    after = resize_position_embedding(before, grid, from_grid=grid, class_tokens=class_tokens, method=method)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("method", METHODS)
@given(grid=GRIDS, to_grid=GRIDS)
def test_constant_stays_constant(method, grid, to_grid):
    before = np.full((1, 1 + grid[0] * grid[1], 3), 0.7, np.float32)
    after = resize_position_embedding(before, to_grid, from_grid=grid, method=method)
    assert after.shape == (1, 1 + to_grid[0] * to_grid[1], 3)
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, 0.7, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(grid=GRIDS, to_grid=GRIDS)
def test_transposing_commutes(method, grid, to_grid):
    before = table(grid, class_tokens=0)
    turned = grid_of(before, grid).swapaxes(0, 1).reshape(1, -1, 4)
    resize = resize_position_embedding
    after = resize(before, to_grid, from_grid=grid, class_tokens=0, method=method)
    other = resize(turned, to_grid[::-1], from_grid=grid[::-1], class_tokens=0, method=method)
    np.testing.assert_allclose(grid_of(after, to_grid), grid_of(other, to_grid[::-1]).swapaxes(0, 1), atol=1e-6)


@pytest.mark.parametrize("to_grid", [(7, 7), (28, 28), (9, 20), (1, 3), (16, 8)])
def test_bicubic_is_that_of_jax(to_grid):
    before = table((14, 14))
    after = resize_position_embedding(before, to_grid)
    expected = jax.image.resize(grid_of(before, (14, 14)), (*to_grid, 4), "bicubic", antialias=True)
    np.testing.assert_allclose(grid_of(after, to_grid), expected, atol=2e-6)
    np.testing.assert_array_equal(after[:, :1], before[:, :1])


@pytest.mark.parametrize("to_grid", [(7, 7), (28, 28), (9, 20), (16, 8)])
def test_bilinear_is_that_of_the_published_code(to_grid):
    before = table((14, 14))
    after = resize_position_embedding(before, to_grid, method="bilinear")
    grid = grid_of(before, (14, 14)).astype(np.float64)
    expected = scipy.ndimage.zoom(grid, (to_grid[0] / 14, to_grid[1] / 14, 1), order=1)
    np.testing.assert_allclose(grid_of(after, to_grid), expected, atol=2e-6)


def test_straight_lines_stay_straight():
    before = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    after = resize_position_embedding(before, (1, 9), from_grid=(1, 5), class_tokens=0, method="bilinear")
    np.testing.assert_allclose(after[0, :, 0], np.arange(9) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "to_grid", "from_grid", "text"),
    [
        ((1, 7, 4), (2, 2), None, "6 position embeddings from 2x2 to 2x2; say their grid"),
        ((1, 7, 4), (2, 2), (2, 4), "from 2x4 to 2x2"),
        ((1, 5, 4), (0, 2), None, "from 2x2 to 0x2"),
        ((5, 4), (2, 2), None, r"shape \[1, L, D\]; got \[5, 4\]"),
    ],
)
def test_what_does_not_fit_is_refused(shape, to_grid, from_grid, text):
    with pytest.raises(ArgumentError, match=text):
        resize_position_embedding(np.zeros(shape, np.float32), to_grid, from_grid=from_grid)


def test_fixed_embedding_needs_four_parts():
    with pytest.raises(ArgumentError, match="that 4 divides; got 30"):
        sincos_position_embedding((2, 2), 30)
