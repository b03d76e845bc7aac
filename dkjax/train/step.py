"""One training step and one evaluation step, compiled once and used for every batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from dkjax.config import TrainConfig
from dkjax.errors import ConfigError
from dkjax.input.batches import Batch
from dkjax.models.vit import Model
from dkjax.train.mesh import batch_sharding, fsdp_sharding, replicated
from dkjax.train.mixup import mixup
from dkjax.train.patch_mix import patch_mix
from dkjax.train.state import TrainState

Metrics = Mapping[str, jax.Array | np.floating]


def normalise(images: jax.Array) -> jax.Array:
    """Map uint8 values to -1..1, all channels alike, since the pixel permutation mixes channels."""
    return images.astype(jnp.float32) / 127.5 - 1.0


def make_train_step(
    model: Model, tx: optax.GradientTransformation, config: TrainConfig, mesh: Mesh
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]:
    """Build the jitted training step.

    Args:
        model: the network.
        tx: the optimizer.
        config: its `label_smoothing`, `mixup`, `patch_mix` and `accumulate` are used.
        mesh: the devices.

    Returns:
        `(state, batch, prng_key) -> (state, metrics)`. The step donates its input state, which is sharded as by
        `initial_state`. The batch is sharded over the devices. `prng_key` is the root of the dropout and mixing keys,
        the same for every step. Metrics are `loss` and `accuracy`, float32[], of this batch before the update.

    Guarantees:
        - the same on any number of devices, and whether the state is sharded or not, but for the order of float32
          sums (`test_step.py::test_one_device_equals_four`, `tests/train/test_devices.py`).
        - the same with `accumulate` as without, likewise (`test_step.py::test_accumulating_is_the_same`).

    Raises:
        ConfigError: patches of two images are to be mixed under a reading that expects one order of values in all of an
            image's patches.
    """
    if config.patch_mix and model.reading == "equivariant":
        raise ConfigError(
            f"train.patch_mix={config.patch_mix:g} puts patches of two images together, with two orders of values, but "
            f"model.reading={model.reading!r} reads one order: set patch_mix to 0, or read the values sorted"
        )

    def loss_of(params: optax.Params, batch: Batch, prng_key: jax.Array) -> tuple[jax.Array, Any]:
        dropout_key, mixing_key = jax.random.split(prng_key)
        labels = batch["label"]
        images, targets = normalise(batch["image"]), jax.nn.one_hot(labels, model.num_classes)
        if config.mixup:
            # Values are put in order before they are averaged: of sorted images the average is sorted, too.
            images, targets = mixup(mixing_key, model.read(images), targets, config.mixup)
        elif config.patch_mix:
            images, targets = patch_mix(mixing_key, images, targets, config.patch_mix, model.patch_size)
        logits = model.apply(params, images, dropout_key=dropout_key)
        loss = optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, config.label_smoothing)).mean()
        return loss, (logits.argmax(-1) == labels).mean()

    gradient = jax.value_and_grad(loss_of, has_aux=True)

    def accumulated(params: optax.Params, batch: Batch, prng_key: jax.Array) -> Any:
        """Average over the micro-batches of a batch."""

        def add(total: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, gradient(params, *part)), None

        parts = (_parts(batch, config.accumulate), jax.random.split(prng_key, config.accumulate))
        nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(gradient, params, batch, prng_key))
        total, _ = jax.lax.scan(add, nothing, parts)
        return jax.tree.map(lambda summed: summed / config.accumulate, total)

    def train_step(state: TrainState, batch: Batch, prng_key: jax.Array) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(prng_key, state.step)
        # Sharded parameters are gathered once, and their gradient is sharded again.
        params = jax.lax.with_sharding_constraint(state.params, replicated(mesh))
        average = gradient if config.accumulate == 1 else accumulated
        images = jax.lax.with_sharding_constraint(batch, batch_sharding(mesh))
        (loss, accuracy), grads = average(params, images, step_key)
        grads = jax.lax.with_sharding_constraint(grads, fsdp_sharding(mesh, grads))
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        state = TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)
        return jax.lax.with_sharding_constraint(state, fsdp_sharding(mesh, state)), {"loss": loss, "accuracy": accuracy}

    return jax.jit(train_step, donate_argnums=0, out_shardings=(None, replicated(mesh)))


def make_eval_step(model: Model, mesh: Mesh) -> Callable[[optax.Params, Batch], jax.Array]:
    """Build the jitted evaluation step.

    Args:
        model: the network.
        mesh: the devices.

    Returns:
        `(params, batch) -> int32[num_classes]`, the number of images of each class that are classified correctly.
        Where `mask` is False an image does not count.
    """

    def eval_step(params: optax.Params, batch: Batch) -> jax.Array:
        images = jax.lax.with_sharding_constraint(batch, batch_sharding(mesh))
        params = jax.lax.with_sharding_constraint(params, replicated(mesh))
        logits = model.apply(params, normalise(images["image"]))
        right = (logits.argmax(-1) == images["label"]) & images["mask"]
        return jnp.zeros(logits.shape[-1], jnp.int32).at[images["label"]].add(right.astype(jnp.int32))

    return jax.jit(eval_step, out_shardings=replicated(mesh))


def _parts(batch: Batch, count: int) -> Batch:
    """Cut a batch into micro-batches `[count, n, ...]` without moving rows between devices."""

    def cut(array: jax.Array) -> jax.Array:
        return array.reshape(-1, count, *array.shape[1:]).swapaxes(0, 1)

    return {name: cut(array) for name, array in batch.items()}
