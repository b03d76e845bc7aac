"""Patch mix: some patches of an image in the place of another's, and their labels in proportion, encrypted or plain."""

import jax
import jax.numpy as jnp


def patch_mix(
    prng_key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float, patch_size: int
) -> tuple[jax.Array, jax.Array]:
    """Exchange patches of each image with its neighbour in the batch, and mix their targets in the same proportion.

    An encryption moves blocks as wholes, so what is exchanged are blocks of two pictures, whose values stay together.
    Every batch is in random order, so neighbours are random pairs; neighbours are on one device.

    Args:
        prng_key: typed PRNG key, shape [].
        images: float[n, H, W, C], an even number.
        targets: float[n, classes].
        alpha: the proportion of a pair is drawn from Beta(alpha, alpha), and rounded to whole patches.
        patch_size: side M of a patch, which divides H and W; a client's block size.

    Returns:
        Images and targets of the same shapes.

    Guarantees:
        - a pair keeps its patches, at their places, and its targets' sum
          (`test_patch_mix.py::test_a_pair_keeps_its_patches`).
        - the targets' proportion is that of the patches (`test_patch_mix.py::test_targets_follow_the_patches`).

    Source: Yun et al., "CutMix", arXiv 1905.04899, with patches at random places for its rectangle.
    """
    n, height, width, channels = images.shape
    pairs, rows, columns = n // 2, height // patch_size, width // patch_size
    share_key, place_key = jax.random.split(prng_key)
    kept = jnp.round(jax.random.beta(share_key, alpha, alpha, (pairs,)) * rows * columns)
    rank = jnp.argsort(jax.random.uniform(place_key, (pairs, rows * columns)), axis=1)
    stays = (rank < kept[:, None]).reshape(pairs, 1, rows, 1, columns, 1)

    both = images.reshape(pairs, 2, rows, patch_size, columns, patch_size * channels)
    mixed = jnp.where(stays, both, both[:, ::-1]).reshape(images.shape)
    share = (kept / (rows * columns))[:, None, None]
    of_both = targets.reshape(pairs, 2, -1)
    return mixed, (share * of_both + (1 - share) * of_both[:, ::-1]).reshape(targets.shape)
