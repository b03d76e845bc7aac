"""One training step and one evaluation step, compiled once and used for every batch."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from dkjax.models.vit import Model
from dkjax.train.mesh import batch_sharding, replicated
from dkjax.train.state import TrainState

Batch = dict[str, jax.Array]
Metrics = Mapping[str, jax.Array | np.floating]


def normalise(images: jax.Array) -> jax.Array:
    """Map uint8 values to -1..1, all channels alike, since the pixel permutation mixes channels."""
    return images.astype(jnp.float32) / 127.5 - 1.0


def make_train_step(
    model: Model, tx: optax.GradientTransformation, label_smoothing: float, mesh: Mesh
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """Build the jitted training step.

    Args:
        model: the network.
        tx: the optimizer.
        label_smoothing: share of the target that is spread over all classes.
        mesh: the devices; batches are divided among them, the state is on each.

    Returns:
        `(state, batch, prng_key) -> (state, metrics)`. The state that goes in is given up. `prng_key` is the root of
        the dropout keys, the same for every step. Metrics are `loss` and `accuracy`, float32[], of this batch before
        the update.
    """

    def loss_of(params: optax.Params, batch: Batch, dropout_key: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = model.apply(params, normalise(batch["image"]), dropout_key=dropout_key)
        targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], logits.shape[-1]), label_smoothing)
        loss = optax.softmax_cross_entropy(logits, targets).mean()
        return loss, (logits.argmax(-1) == batch["label"]).mean()

    def train_step(state: TrainState, batch: Batch, prng_key: jax.Array) -> tuple[TrainState, Metrics]:
        dropout_key = jax.random.fold_in(prng_key, state.step)
        (loss, accuracy), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params, batch, dropout_key)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state), {"loss": loss, "accuracy": accuracy}

    whole = replicated(mesh)
    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(whole, batch_sharding(mesh), whole),
        out_shardings=(whole, whole),
    )


def make_eval_step(model: Model, mesh: Mesh) -> Callable[[optax.Params, Batch], jax.Array]:
    """Build the jitted evaluation step.

    Args:
        model: the network.
        mesh: the devices.

    Returns:
        `(params, batch) -> int32[num_classes]`, the number of images of each class that the network names rightly.
        Where `mask` is False an image does not count.
    """

    def eval_step(params: optax.Params, batch: Batch) -> jax.Array:
        logits = model.apply(params, normalise(batch["image"]))
        right = (logits.argmax(-1) == batch["label"]) & batch["mask"]
        return jnp.zeros(logits.shape[-1], jnp.int32).at[batch["label"]].add(right.astype(jnp.int32))

    whole = replicated(mesh)
    return jax.jit(eval_step, in_shardings=(whole, batch_sharding(mesh)), out_shardings=whole)
