"""What training carries from step to step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from dkjax.train.mesh import replicated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree of arrays alone.

    Attributes:
        step: int32[], how many steps were taken.
        params: the model's parameters.
        opt_state: the optimizer's state.
    """

    step: jax.Array
    params: Any
    opt_state: optax.OptState


def initial_state(params: Any, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Start training from parameters, which are copied to every device of the mesh."""

    def start(params: Any) -> TrainState:
        return TrainState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params), tx.init(params))

    return jax.jit(start, out_shardings=replicated(mesh))(params)
