"""The optimizer: its learning rate by step, what decays, what is clipped."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.config import TrainConfig
from dkjax.models.vit import vit
from dkjax.train.optimizer import optimizer, schedule


@pytest.mark.parametrize(("total_steps", "warmup_fraction"), [(100, 0.1), (40, 0.25), (33, 0.99), (7, 0.5)])
def test_learning_rate_by_step(total_steps: int, warmup_fraction: float) -> None:
    rate = schedule(TrainConfig(learning_rate=3e-3, warmup_fraction=warmup_fraction), total_steps)
    warmup = int(total_steps * warmup_fraction)
    values = np.array([rate(step) for step in range(total_steps + 1)])
    assert values[0] == 0
    np.testing.assert_allclose(values[: warmup + 1], 3e-3 * np.arange(warmup + 1) / warmup, rtol=1e-5)
    done = np.arange(total_steps - warmup + 1) / (total_steps - warmup)
    np.testing.assert_allclose(values[warmup:], 3e-3 * (1 + np.cos(math.pi * done)) / 2, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(values[-1], 0, atol=1e-9)


@pytest.mark.parametrize(("total_steps", "warmup_fraction"), [(10, 0.0), (1, 0.1)])
def test_without_warmup_the_peak_comes_first(total_steps: int, warmup_fraction: float) -> None:
    rate = schedule(TrainConfig(learning_rate=3e-3, warmup_fraction=warmup_fraction), total_steps)
    np.testing.assert_allclose(rate(0), 3e-3, rtol=1e-6)
    np.testing.assert_allclose(rate(total_steps), 0, atol=1e-9)


def vit_shapes() -> dict:
    model = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=16)
    return jax.eval_shape(lambda key: model.init(key, (8, 8, 1)), jax.random.key(0))


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_only_kernels_decay(clip_norm: float | None) -> None:
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), vit_shapes())
    config = TrainConfig(learning_rate=0.5, warmup_fraction=0.0, weight_decay=0.1, clip_norm=clip_norm)
    tx = optimizer(config, total_steps=10)

    @jax.jit
    def first_update(params: dict) -> dict:
        return tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)[0]

    updates = {
        "/".join(entry.key for entry in path): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(first_update(params))
    }
    kernels = {name for name in updates if name.endswith("/kernel")}
    assert {"embedding/kernel", "head/kernel"} <= kernels
    assert {"cls", "Transformer/posembed_input/pos_embedding", "head/bias"} <= updates.keys() - kernels
    for name, update in updates.items():
        np.testing.assert_allclose(update, -0.5 * 0.1 if name in kernels else 0.0, rtol=1e-6, err_msg=name)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"bias": jnp.zeros(2)}}
    grads = {"a": {"kernel": jnp.array([3.0, 0.0])}, "b": {"bias": jnp.array([0.0, 4.0])}}

    def first_moment(clip_norm: float | None) -> list[float]:
        tx = optimizer(TrainConfig(clip_norm=clip_norm), total_steps=10)
        _, state = tx.update(grads, tx.init(params), params)
        mu = next(leaf.mu for leaf in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(leaf, "mu"))
        return [float(mu["a"]["kernel"][0]), float(mu["b"]["bias"][1])]

    np.testing.assert_allclose(first_moment(None), [0.3, 0.4], rtol=1e-5)
    np.testing.assert_allclose(first_moment(2.5), [0.15, 0.2], rtol=1e-5)
    np.testing.assert_allclose(first_moment(10.0), [0.3, 0.4], rtol=1e-5)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("part", ["head", "embedding"])
def test_new_parts_have_rates_of_their_own(part: str, clip_norm: float | None) -> None:
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), vit_shapes())
    gradients = jax.tree.map(lambda leaf: np.full_like(leaf, 0.01), params)

    def updates(**settings: float) -> dict:
        config = TrainConfig(learning_rate=1e-3, clip_norm=clip_norm, weight_decay=0.1, warmup_fraction=0.0, **settings)
        tx = optimizer(config, total_steps=10)
        return jax.jit(lambda: tx.update(gradients, tx.init(params), params)[0])()

    same, own = updates(), updates(**{f"{part}_learning_rate": 5e-3})
    for name in same:
        factor = 5 if name == part else 1
        jax.tree.map(
            lambda one, other, factor=factor: np.testing.assert_allclose(other, factor * one, rtol=1e-6),
            same[name],
            own[name],
        )
