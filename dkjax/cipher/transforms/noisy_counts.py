"""Noisy counts: of each block a histogram with noise, written out as sorted values. It has no inverse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.noise import geometric
from dkjax.cipher.transforms.checks import check_uint8
from dkjax.cipher.transforms.quantisation import level_of, value_of
from dkjax.cipher.transforms.sorted_values import tally
from dkjax.cipher.transforms.transform import Leaves
from dkjax.errors import ArgumentError

_MAX_VALUES = 23170
"""Of a block: products of two numbers below twice that have 31 bits."""


@dataclasses.dataclass(frozen=True)
class NoisyCounts:
    """Count the levels of a block's values, add noise to each count, and write the counts out as sorted values.

    The values are quantised as `Quantisation` does it. To each of a block's counts is added noise of its own from
    `noise.geometric` with half of `epsilon`; counts below 0 become 0, and if all are 0, each becomes 1. The block then
    has the `P` quantiles of these counts: value `j` is of the level at which their running sum first exceeds
    `(2j + 1) / 2P` of their total.

    **Differential privacy.** One of a block's values changed to any other changes two counts by 1 each, or none. So all
    that is sent of an image is `(epsilon, 2 delta)`-differentially private, `delta` from `noise.delta(epsilon / 2)`, in
    the exchange of *one value*: one channel of one pixel. For a pixel of `C` channels it is `C epsilon`, for all that a
    block shows `P epsilon`, for a whole image `N P epsilon`, which protects nothing. Brightness and outline of an image
    stay. The guarantee is for uniform random words; those of a PRNG cannot be told from them without the key.

    Guarantees:
        - the rule, by a loop over the values (`test_noisy_counts.py::test_law`).
        - the noise has the stated probabilities in the values that are sent
          (`test_noisy_counts.py::test_privacy_of_one_value`).
        - every key gives other noise, and blocks have noise of their own
          (`test_noisy_counts.py::test_noise_is_of_its_own`).

    Attributes:
        levels: how many counts a block has, from 2 to 256.
        epsilon: of one value that changes.
    """

    levels: int
    epsilon: float

    invertible = False
    common_order = False
    mixes = "channels"

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Accept bytes alone, and blocks in which products of ranks and counts fit into 32 bits."""
        check_uint8("NoisyCounts", dtype)
        if shape.values > _MAX_VALUES:
            raise ArgumentError(f"noise is for blocks of at most {_MAX_VALUES} values, and these have {shape.values}")

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the noise of every count, `int32[N, levels]`."""
        return geometric(key, self.epsilon / 2, (shape.num_blocks, self.levels))

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Count, add the noise, and write the quantiles."""
        rows, values = blocks.shape
        places = jnp.arange(rows, dtype=jnp.int32)[:, None] * self.levels + level_of(blocks, self.levels)
        counts = tally(places.ravel(), rows * self.levels, jnp.int32).reshape(rows, self.levels)
        noisy = jnp.maximum(counts + parameters, 0)
        noisy = jnp.where(noisy.any(axis=1, keepdims=True), noisy, 1)
        ends = jnp.cumsum(noisy, axis=1)
        # (2j + 1) total // 2P, in two parts that fit into 32 bits.
        whole, rest = jnp.divmod(ends[:, -1:], 2 * values)
        ranks = 2 * jnp.arange(values, dtype=jnp.int32)[None, :] + 1
        wanted = ranks * whole + ranks * rest // (2 * values)
        levels = jax.vmap(lambda ends, wanted: jnp.searchsorted(ends, wanted, side="right"))(ends, wanted)
        return value_of(levels, self.levels)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Raise `ArgumentError`, always."""
        raise ArgumentError("noisy counts cannot be decrypted: where in its block each value was is in no key")

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say what noise the counts have."""
        noise = f"with noise (epsilon {self.epsilon:g} for one value, {shape.values} times that for all of a block)"
        return Leaves(values=f"how many values of each block are of which of {self.levels} levels, {noise}", inside="")

    def count(self, shape: BlockShape) -> int:
        """Noise is no key: nothing is found by trying keys that the counts do not show."""
        return 1
