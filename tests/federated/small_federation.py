"""A linear model on a few made-up images: rounds that can be computed by hand."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dkjax.federated.cohort import Population
from dkjax.federated.local import LocalTraining, masked_mean

CLASSES = 3
KEY_SEED = 5


def records(count: int, seed: int = 0) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (count, 2, 2, 1), np.uint8)),
        "label": jnp.asarray(rng.integers(0, CLASSES, count, np.int32)),
    }


def params(seed: int = 1) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {"kernel": jnp.asarray(rng.normal(size=(4, CLASSES)), jnp.float32), "bias": jnp.zeros(CLASSES)}


def loss(params: Any, frozen: Any, batch: dict[str, jax.Array], prng_key: jax.Array) -> jax.Array:
    rows = batch["image"].reshape(len(batch["label"]), -1) / 255.0
    logits = rows @ params["kernel"] + params["bias"][None]
    return masked_mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]), batch["mask"])


def sgd(mu: float = 0.0) -> LocalTraining:
    return LocalTraining(loss, optax.sgd(1.0), mu)


def population(*sizes: int, batch_size: int = 4, **rest: Any) -> Population:
    edges = np.cumsum([0, *sizes])
    parts = [np.arange(start, stop) for start, stop in itertools.pairwise(edges)]
    return Population(parts, batch_size, **rest)


def mean_loss(params: Any, found: dict[str, jax.Array], rows: Any = slice(None)) -> jax.Array:
    batch = {name: array[rows] for name, array in found.items()}
    return loss(params, (), batch | {"mask": jnp.ones(len(batch["label"]), bool)}, jax.random.key(0))
