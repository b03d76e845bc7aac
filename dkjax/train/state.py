"""The state of training."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from dkjax.train.mesh import fsdp_sharding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree of arrays alone.

    Attributes:
        step: int32[], number of steps taken.
        params: the model's parameters.
        opt_state: the optimizer's state.
    """

    step: jax.Array
    params: Any
    opt_state: optax.OptState


def state_like(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """Return shapes and dtypes of the state, from parameters or their shapes; nothing is computed."""
    return jax.eval_shape(lambda params: _start(params, tx), params)


def initial_state(params: Any, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Return the initial state; the parameters are not changed.

    Args:
        params: on this process's devices or in its memory; equal in every process.
        tx: the optimizer.
        mesh: the devices; the sharding is that of `dkjax.train.mesh.fsdp_sharding`.

    Returns:
        The state before the first step.
    """
    where = fsdp_sharding(mesh, state_like(params, tx))
    return jax.jit(lambda params: _start(params, tx), out_shardings=where)(params)


def _start(params: Any, tx: optax.GradientTransformation) -> TrainState:
    return TrainState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params), tx.init(params))
