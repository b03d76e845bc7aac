"""A random orthogonal matrix: how it is drawn, that it is Haar, and how exactly it is undone."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from dkjax import prng
from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import OrthogonalMatrix
from dkjax.errors import ArgumentError

KEY = prng.wrap_key(jnp.array([9, 10], jnp.uint32), "threefry2x32")


@pytest.mark.parametrize(("block_size", "channels"), [(1, 3), (4, 3), (16, 3)])
def test_law(block_size, channels):
    shape = BlockShape(num_blocks=6, block_size=block_size, channels=channels)
    matrix = np.asarray(OrthogonalMatrix().sample(KEY, shape), np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(shape.values), atol=1e-5)
    # Gram and Schmidt, column by column, give the decomposition with a positive diagonal.
    normals = np.asarray(draws.normals(KEY, (shape.values, shape.values)), np.float64)
    columns = np.zeros_like(normals)
    for j in range(shape.values):
        rest = normals[:, j] - columns[:, :j] @ (columns[:, :j].T @ normals[:, j])
        rest -= columns[:, :j] @ (columns[:, :j].T @ rest)
        columns[:, j] = rest / np.linalg.norm(rest)
    # What is left for the last column is short, and its direction the least exact.
    np.testing.assert_allclose(matrix[:, :-1], columns[:, :-1], atol=1e-3)
    blocks = np.random.default_rng(0).normal(size=(6, shape.values)).astype(np.float32)
    encrypted = OrthogonalMatrix().apply(jnp.array(matrix, jnp.float32), jnp.array(blocks), shape)
    np.testing.assert_allclose(encrypted, blocks @ matrix, atol=1e-4)
    assert OrthogonalMatrix().count(shape) == math.inf


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block_size", [1, 4, 16])
def test_tolerance(block_size, dtype):
    shape = BlockShape(num_blocks=20, block_size=block_size, channels=3)
    blocks = np.random.default_rng(1).uniform(0, 255, (20, shape.values)).astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        matrix = OrthogonalMatrix().sample(KEY, shape)
        assert matrix.dtype == np.float32
        encrypted = OrthogonalMatrix().apply(matrix, jnp.array(blocks), shape)
        decrypted = OrthogonalMatrix().invert(matrix, encrypted, shape)
    assert encrypted.dtype == decrypted.dtype == dtype
    assert np.abs(np.asarray(decrypted) - blocks).max() < 1e-5 * blocks.max()
    norms = np.linalg.norm(np.asarray(encrypted, np.float64), axis=1)
    np.testing.assert_allclose(norms, np.linalg.norm(blocks.astype(np.float64), axis=1), rtol=1e-5)


def test_haar():
    """Column 0 of a uniform orthogonal 3x3 matrix is a uniform point of the sphere, and so is every other."""
    shape = BlockShape(num_blocks=1, block_size=1, channels=3)
    keys = jax.random.split(KEY, 3000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: OrthogonalMatrix().sample(key, shape)))(keys))
    unsigned = np.asarray(jax.jit(jax.vmap(lambda key: jnp.linalg.qr(draws.normals(key, (3, 3)))[0]))(keys))

    def uniform(matrices) -> bool:
        # By Archimedes, each coordinate of a uniform point of the sphere is uniform.
        pvalues = [kstest(matrices[:, i, j], "uniform", (-1, 2)).pvalue for i in range(3) for j in range(3)]
        return min(pvalues) > 1e-3 and abs(np.linalg.det(matrices).mean()) < 0.1

    assert uniform(drawn)
    assert not uniform(unsigned)


def test_only_floating_point():
    shape = BlockShape(1, 1, 3)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        OrthogonalMatrix().check(shape, jnp.dtype(dtype))
    for dtype in ("uint8", "int32"):
        with pytest.raises(ArgumentError, match=f"expected floating point images, got {dtype}"):
            OrthogonalMatrix().check(shape, np.dtype(dtype))
