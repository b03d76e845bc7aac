"""Mixup: averaged pairs of images and of their labels, with the same meaning on encrypted and on plain images."""

import jax
import jax.numpy as jnp


def mixup(prng_key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Average each image with its neighbour in the batch, and their targets in the same proportion.

    Every batch is in random order, so neighbours are random pairs; neighbours are on one device.

    Args:
        prng_key: typed PRNG key, shape []; decides the proportion, one for the whole batch.
        images: float[n, ...], an even number.
        targets: float[n, classes].
        alpha: the proportion is drawn from Beta(alpha, alpha).

    Returns:
        Images and targets of the same shapes.

    Guarantees:
        - the mean over a batch is unchanged (`test_mixup.py::test_means_stay`).

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """
    share = jax.random.beta(prng_key, alpha, alpha)

    def mix(array: jax.Array) -> jax.Array:
        pairs = array.reshape(-1, 2, *array.shape[1:])
        return jnp.reshape(share * pairs + (1 - share) * pairs[:, ::-1], array.shape)

    return mix(images), mix(targets)
