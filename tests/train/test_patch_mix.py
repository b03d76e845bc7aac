"""Patch mix: what is exchanged, in which proportion."""

import jax
import numpy as np
import pytest

from dkjax.train.patch_mix import patch_mix

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(8, 8, 12, 3)).astype(np.float32)
TARGETS = np.eye(8, dtype=np.float32)
OTHER = [1, 0, 3, 2, 5, 4, 7, 6]


def patches(images: np.ndarray) -> np.ndarray:
    """Patches of 4 pixels, [n, 2, 3, 4, 4, 3]."""
    return np.asarray(images).reshape(-1, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5)


@pytest.fixture(scope="module")
def mixed() -> tuple[np.ndarray, np.ndarray]:
    images, targets = jax.jit(lambda key: patch_mix(key, IMAGES, TARGETS, 1.0, 4))(jax.random.key(1))
    return np.asarray(images), np.asarray(targets)


def test_a_pair_keeps_its_patches(mixed: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = mixed
    own = (patches(images) == patches(IMAGES)).all((3, 4, 5))
    others = (patches(images) == patches(IMAGES[OTHER])).all((3, 4, 5))
    assert (own ^ others).all()
    np.testing.assert_array_equal(own, own[OTHER])  # what one keeps, so does its neighbour
    assert 0 < own.sum() < own.size
    np.testing.assert_allclose(targets + targets[OTHER], TARGETS + TARGETS[OTHER], atol=1e-6)


def test_targets_follow_the_patches(mixed: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = mixed
    share = (patches(images) == patches(IMAGES)).all((3, 4, 5)).mean((1, 2))
    assert len(set(share)) > 2  # each pair has its own
    np.testing.assert_allclose(targets, share[:, None] * TARGETS + (1 - share[:, None]) * TARGETS[OTHER], atol=1e-6)


def test_proportion_and_places() -> None:
    draw = jax.jit(jax.vmap(lambda key: patch_mix(key, IMAGES[:2], TARGETS[:2, :2], 0.2, 4)))
    images, targets = draw(jax.random.split(jax.random.key(1), 3000))
    shares = np.asarray(targets)[:, 0, 0]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)), here rounded to sixths.
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * 1.4)) < 0.015
    own = (patches(np.asarray(images)[:, 0]) == patches(IMAGES[:1])).all((3, 4, 5)).mean(0)
    np.testing.assert_allclose(own, 0.5, atol=0.04)  # every place alike
