"""Counts with noise: the rule by a loop, noise of every block's own, and what one changed value shows."""

import bisect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import decrypt, encrypt, schemes
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import NoisyCounts, Quantisation
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=6, block_size=4, channels=3)
BLOCKS = np.random.default_rng(0).integers(0, 256, (6, 48), dtype=np.uint8)
KEY = prng.wrap_key(jnp.array([5, 6], jnp.uint32), "threefry2x32")


def written(blocks, noise, levels):
    """What is sent of blocks, value by value."""
    found = []
    for block, of_block in zip(blocks.tolist(), np.asarray(noise).tolist(), strict=True):
        counts = [sum(value * levels // 256 == level for value in block) for level in range(levels)]
        noisy = [max(count + more, 0) for count, more in zip(counts, of_block, strict=True)]
        if not any(noisy):
            noisy = [1] * levels
        ends = np.cumsum(noisy).tolist()
        at = [bisect.bisect_right(ends, (2 * rank + 1) * ends[-1] / (2 * len(block))) for rank in range(len(block))]
        found.append([255 * level // (levels - 1) for level in at])
    return found


@pytest.mark.parametrize(("levels", "epsilon"), [(2, 1.0), (16, 0.1), (256, 4.0)])
def test_law(levels, epsilon):
    step = NoisyCounts(levels, epsilon)
    noise = step.sample(KEY, SHAPE)
    assert noise.shape == (6, levels)
    found = np.asarray(step.apply(noise, jnp.asarray(BLOCKS), SHAPE))
    assert found.dtype == np.uint8
    assert found.tolist() == written(BLOCKS, noise, levels)
    assert (np.diff(found.astype(int)) >= 0).all()


def test_counts_that_are_all_gone_are_all_alike():
    step, noise = NoisyCounts(3, 1.0), jnp.full((6, 3), -100)
    found = np.asarray(step.apply(noise, jnp.asarray(BLOCKS), SHAPE))
    assert found.tolist() == [[0] * 16 + [127] * 16 + [255] * 16] * 6


def test_without_noise_it_is_sorting():
    found = NoisyCounts(16, 1.0).apply(jnp.zeros((6, 16), int), jnp.asarray(BLOCKS), SHAPE)
    rounded = Quantisation(16).apply((), jnp.asarray(BLOCKS), SHAPE)
    np.testing.assert_array_equal(found, np.sort(rounded, axis=1))


def test_noise_is_of_its_own():
    """Of every block, every count and every key."""
    step = NoisyCounts(8, 0.1)
    noise = np.stack([step.sample(key, SHAPE) for key in jax.random.split(KEY, 50)])
    together = np.corrcoef(noise.reshape(50, -1), rowvar=False) - np.eye(48)
    assert np.abs(together).max() < 0.6  # five standard errors are .7
    assert len(np.unique(noise.reshape(50, -1), axis=0)) == 50


def test_privacy_of_one_value():
    """Of two blocks that differ in one value, any set of results is at most exp(epsilon) times as likely."""
    epsilon, draws, shape = 1.0, 20_000, BlockShape(20_000, 2, 1)
    step, one, other = NoisyCounts(2, epsilon), [0, 0, 255, 255], [0, 255, 255, 255]
    shares = []
    for number, block in enumerate((one, other)):
        noise = step.sample(jax.random.fold_in(KEY, number), shape)
        seen = step.apply(noise, jnp.tile(jnp.array(block, jnp.uint8), (draws, 1)), shape)
        shares.append(np.bincount((np.asarray(seen) == 255).sum(axis=1), minlength=5) / draws)
    for share, against in (shares, shares[::-1]):
        error = 5 * np.sqrt((share + against * math.exp(2 * epsilon)) / draws)
        assert (share <= math.exp(epsilon) * against + error).all()
    # The noise is no more than is needed: some result is nearly as much likelier as is allowed.
    assert max(np.max(shares[0] / shares[1]), np.max(shares[1] / shares[0])) > math.exp(epsilon) * 0.6


def test_what_is_refused():
    noisy = schemes.sorted_blocks(4, epsilon=1.0)
    images = np.zeros((8, 12, 3), np.uint8)
    with pytest.raises(ArgumentError, match="NoisyCounts changes values of 8 bits: expected uint8 images, got int32"):
        encrypt(noisy, KEY, images.astype(np.int32))
    with pytest.raises(ArgumentError, match="noisy counts cannot be decrypted"):
        decrypt(noisy, KEY, images)
    with pytest.raises(ArgumentError, match="blocks of at most 23170 values, and these have 27648"):
        schemes.sorted_blocks(96, epsilon=1.0).check((96, 96, 3))
