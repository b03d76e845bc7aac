"""Children of keys on the host: the words that JAX gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax import prng
from dkjax.derivation import fold_in, split

KEYS = st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8).map(lambda words: np.array(words, np.uint32))


def in_jax(key: np.ndarray) -> jax.Array:
    return prng.wrap_key(jnp.array(key), "chacha20" if len(key) == 8 else "threefry2x32")


@pytest.mark.parametrize("size", [8, 2])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 300, 4097])
def test_split_is_that_of_jax(size, count):
    key = np.random.default_rng(count).integers(0, 2**32, size, np.uint32)
    before, out = key.copy(), np.empty((count, size), np.uint32)
    split(key, out)
    np.testing.assert_array_equal(key, before)
    np.testing.assert_array_equal(out, jax.random.key_data(jax.random.split(in_jax(key), count)))


@pytest.mark.parametrize("size", [8, 2])
def test_children_of_a_long_split_depend_on_their_number_alone(size):
    key, count = np.arange(size, dtype=np.uint32), (1 << 16) + 3
    long, short = np.empty((count, size), np.uint32), np.empty((3, size), np.uint32)
    split(key, long)
    split(key, short)
    np.testing.assert_array_equal(long[:3], short)
    assert len(np.unique(long, axis=0)) == count
    step = np.arange(0, count, 8191)
    np.testing.assert_array_equal(
        long[step], np.asarray(jax.random.key_data(jax.random.split(in_jax(key), count)))[step]
    )


@pytest.mark.parametrize("size", [8, 2])
@given(key=KEYS, data=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_fold_in_is_that_of_jax(size, key, data):
    key = key[:size].copy()
    expected = np.asarray(jax.random.key_data(jax.random.fold_in(in_jax(key), np.uint32(data))))
    fold_in(key, data, key)  # in place
    np.testing.assert_array_equal(key, expected)
