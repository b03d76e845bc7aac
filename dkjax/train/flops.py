"""Floating point operations of a network, by the compiler's count."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from dkjax.models.vit import Model


def flops_per_image(model: Model, image_shape: tuple[int, int, int]) -> float:
    """Count the operations of one training image: forward pass, and backward pass to every parameter.

    Rematerialised operations (`remat`) count once, the optimizer's not at all: this is the model's own work, the basis
    of utilisation.

    Args:
        model: the network.
        image_shape: `(H, W, C)`.

    Returns:
        Floating point operations; a multiplication and an addition are two.
    """
    model = dataclasses.replace(model, remat=False)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(lambda key: model.init(key, image_shape), key)
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)

    def total(params: dict, images: jax.Array, dropout_key: jax.Array) -> jax.Array:
        return model.apply(params, images, dropout_key=dropout_key).sum()

    counted: Any = jax.jit(jax.grad(total)).lower(params, images, key).cost_analysis()
    return float(counted["flops"])
