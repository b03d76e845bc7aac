"""Mixup: pairs and their proportion."""

import jax
import numpy as np

from dkjax.train.mixup import mixup

IMAGES = np.random.default_rng(0).normal(size=(6, 2, 2, 1)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 0, 1]]


def test_each_with_its_neighbour_in_one_proportion() -> None:
    images, targets = jax.jit(lambda key: mixup(key, IMAGES, TARGETS, 0.4))(jax.random.key(3))
    other = [1, 0, 3, 2, 5, 4]
    share = float(targets[0, 0])
    assert 0 < share < 1
    np.testing.assert_allclose(images, share * IMAGES + (1 - share) * IMAGES[other], atol=1e-6)
    np.testing.assert_allclose(targets, share * TARGETS + (1 - share) * TARGETS[other], atol=1e-6)


def test_means_stay() -> None:
    images, targets = mixup(jax.random.key(0), IMAGES, TARGETS, 1.0)
    np.testing.assert_allclose(np.mean(images, 0), IMAGES.mean(0), atol=1e-6)
    np.testing.assert_allclose(np.mean(targets, 0), TARGETS.mean(0), atol=1e-6)


def test_the_proportion_is_drawn_from_beta() -> None:
    draw = jax.jit(jax.vmap(lambda key: mixup(key, IMAGES[:2], TARGETS[:2], 0.2)[1][0, 0]))
    shares = np.asarray(draw(jax.random.split(jax.random.key(1), 4000)))
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * 1.4)) < 0.01
