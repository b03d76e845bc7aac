"""A random orthogonal matrix: the values of every block are mixed, lengths and angles kept."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.transform import Leaves
from dkjax.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class OrthogonalMatrix:
    """Multiply every block, as a row vector, by one random orthogonal matrix from the right, the same for all blocks.

    The matrix is uniform among all orthogonal ones (Haar): with `G = Q R` the QR decomposition of a matrix of normal
    numbers, column `j` of `Q` is multiplied by the sign of `R[j, j]`, which is what makes the decomposition unique.
    Norms of blocks and inner products between blocks of one image are kept.

    Images must be floating point numbers. Products are taken in float32, or in float64 for float64 images, and rounded
    to the images' dtype; the matrix is float32 always. So decryption is not exact, and bytes may differ between
    backends and batch sizes in the last bits.

    Guarantees:
        - decryption of float32 and float64 images differs by less than `1e-5` times the largest value of the image
          (`test_orthogonal_matrix.py::test_tolerance`).
        - the matrix is orthogonal to `1e-5` and follows the draw (`test_orthogonal_matrix.py::test_law`).
        - it is Haar (`test_orthogonal_matrix.py::test_haar`).
    """

    mixes = "channels"

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` for images that are not floating point numbers."""
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise ArgumentError(
                f"OrthogonalMatrix gives real numbers: expected floating point images, got {dtype}; "
                "convert and normalise them first"
            )

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the matrix, `float32[P, P]`, from `G = draws.normals(key, (P, P))`."""
        q, r = jnp.linalg.qr(draws.normals(key, (shape.values, shape.values)))
        return q * jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(q.dtype)[None, :]

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Multiply every block by the matrix."""
        return _product(blocks, parameters)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Multiply every block by the transposed matrix, its inverse."""
        return _product(blocks, parameters.T)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that lengths and angles stay."""
        return Leaves(values="the norm of every block, and the inner product of any two of an image", inside="")

    def count(self, shape: BlockShape) -> float:
        """There are infinitely many matrices, of real numbers; what bounds a search is the key."""
        return math.inf


def _product(blocks: jax.Array, matrix: jax.Array) -> jax.Array:
    dtype = jnp.promote_types(blocks.dtype, jnp.float32)
    # Accelerators would otherwise multiply with fewer bits than float32 has.
    product = jnp.matmul(blocks.astype(dtype), matrix.astype(dtype), precision=jax.lax.Precision.HIGHEST)
    return product.astype(blocks.dtype)
