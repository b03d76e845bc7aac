"""The layer of exchangeable matrices: what it computes, and that it has no order of rows and columns."""

import typing

import jax.numpy as jnp
import numpy as np
import scipy.stats

from dkjax import config
from dkjax.models import reading
from dkjax.models.reading import exchangeable_layer, relations_of, summarise_patches

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


def test_relations_are_differences_and_distances_of_histograms():
    """Of two patches: means, standard deviations, and SciPy's Wasserstein distance where every value is a quantile."""
    values = np.sort(RNG.normal(size=(2, 5, 32)).astype(np.float32), axis=-1)
    found = np.asarray(relations_of(summarise_patches(jnp.asarray(values))))
    assert found.shape == (2, 3, 5, 5)
    for n, first, second in np.ndindex(2, 5, 5):
        one, other = values[n, first], values[n, second]
        expected = one.mean() - other.mean(), one.std() - other.std(), scipy.stats.wasserstein_distance(one, other)
        np.testing.assert_allclose(found[n, :, first, second], expected, atol=1e-5)


def test_quantiles_are_of_equal_parts():
    """The most parts up to 32 that divide the values; of a prime number of values, their mean alone."""
    for count, parts in ((768, 32), (588, 28), (48, 24), (16, 16), (37, 1)):
        values = np.sort(RNG.normal(size=(3, count)).astype(np.float32), axis=-1)
        summary = np.asarray(summarise_patches(jnp.asarray(values)))
        assert summary.shape == (3, parts + 1)
        np.testing.assert_allclose(summary[:, :-1], values.reshape(3, parts, -1).mean(-1), atol=1e-5)
        np.testing.assert_allclose(summary[:, -1], values.std(-1), atol=1e-4)
