"""The layer of exchangeable matrices: what it computes, and that it has no order of rows and columns."""

import typing

import jax.numpy as jnp
import numpy as np

from dkjax import config
from dkjax.models import reading
from dkjax.models.reading import exchangeable_layer

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(2, 3, 5, 4)).astype(np.float32)
KERNEL = RNG.normal(size=(4, 4, 6)).astype(np.float32)
BIAS = RNG.normal(size=6).astype(np.float32)


def layer(matrix):
    return np.asarray(exchangeable_layer(jnp.asarray(matrix), jnp.asarray(KERNEL), jnp.asarray(BIAS)))


def test_law():
    """Every element by itself: its own features, and the means of its row, of its column and of all."""
    found = layer(MATRIX)
    assert found.shape == (2, 3, 5, 6)
    for n, row, column in np.ndindex(2, 3, 5):
        one = MATRIX[n]
        seen = one[row, column], one[row].mean(0), one[:, column].mean(0), one.mean((0, 1))
        expected = sum(features @ kernel for features, kernel in zip(seen, KERNEL, strict=True)) + BIAS
        np.testing.assert_allclose(found[n, row, column], expected, rtol=1e-4, atol=1e-5)


def test_permuted_rows_and_columns_permute_the_result():
    rows, columns = RNG.permutation(3), RNG.permutation(5)
    permuted = MATRIX[:, rows][:, :, columns]
    np.testing.assert_allclose(layer(permuted), layer(MATRIX)[:, rows][:, :, columns], atol=1e-5)
    own = MATRIX.copy()
    own[:, 1] = own[:, 1, ::-1]  # of one row alone: columns are not what they were
    assert np.abs(layer(own)[:, 0] - layer(MATRIX)[:, 0]).max() > 0.1


def test_bfloat16_keeps_its_dtype():
    matrix = jnp.asarray(MATRIX, jnp.bfloat16)
    found = exchangeable_layer(matrix, jnp.asarray(KERNEL), jnp.asarray(BIAS))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(np.float32), layer(MATRIX), atol=0.1)


def test_configurations_know_all_readings():
    assert typing.get_args(config.schema.Reading) == typing.get_args(reading.Reading)
