"""Low-rank adapters of the ViT."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.errors import ConfigError
from dkjax.federated.lora import adapters, merge
from dkjax.models.vit import vit

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8, depth=2)
SHAPE = (8, 8, 1)
PARAMS = MODEL.init(jax.random.key(0), SHAPE)


def test_starts_as_the_network() -> None:
    trained = adapters(PARAMS, 2, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, merge(PARAMS, trained), PARAMS)


def test_adapts_queries_and_values_alone() -> None:
    trained = adapters(PARAMS, 2, jax.random.key(1))
    assert sorted(name.split("/")[-2] for name in trained["adapters"]) == ["query", "query", "value", "value"]
    drawn = jax.tree.map(lambda leaf: leaf + 0.5, trained)
    merged = merge(PARAMS, drawn, scale=3.0)
    changed = [
        "/".join(entry.key for entry in path)
        for (path, one), other in zip(jax.tree.leaves_with_path(merged), jax.tree.leaves(PARAMS), strict=True)
        if not np.array_equal(one, other)
    ]
    assert len(changed) == 6
    assert all(name.startswith("head/") or name.split("/")[-2] in ("query", "value") for name in changed)
    name = next(iter(trained["adapters"]))
    a, b = drawn["adapters"][name]["a"], drawn["adapters"][name]["b"]
    block, attention, which, _ = name.split("/")[1:]
    kernel = PARAMS["Transformer"][block][attention][which]["kernel"]
    found = merged["Transformer"][block][attention][which]["kernel"]
    expected = kernel.reshape(8, 8) + 3 * a @ b.reshape(2, 8)
    np.testing.assert_allclose(found.reshape(8, 8), expected, rtol=1e-5)


def test_the_gradient_reaches_the_adapters() -> None:
    trained = adapters(PARAMS, 2, jax.random.key(1))
    trained["head"] = jax.tree.map(lambda leaf: leaf + 0.1, trained["head"])
    trained["head"]["kernel"] = jax.random.normal(jax.random.key(2), trained["head"]["kernel"].shape)
    images = jax.random.normal(jax.random.key(3), (2, *SHAPE))
    grads = jax.jit(jax.grad(lambda trained: (MODEL.apply(merge(PARAMS, trained), images)[:, 0] ** 2).sum()))(trained)
    assert all(jnp.abs(one["b"]).max() > 0 for one in grads["adapters"].values())


@pytest.mark.parametrize("rank", [0, 9])
def test_a_rank_beyond_the_width(rank: int) -> None:
    with pytest.raises(ConfigError, match=f"federated.lora_rank={rank} is not between 1 and the model's width=8"):
        adapters(PARAMS, rank, jax.random.key(0))
