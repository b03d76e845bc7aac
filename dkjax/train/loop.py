"""The training loop: takes batches, reports progress, and stops at the first loss that is not finite."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from dkjax.config import TrainConfig
from dkjax.errors import NonFiniteLossError
from dkjax.input.batches import Batch, evaluation_batches, training_batches
from dkjax.input.device_resident import DeviceResident
from dkjax.input.order import StepOrder
from dkjax.models.vit import Model
from dkjax.sources.source import Indexed
from dkjax.train.accelerators import accelerator_of
from dkjax.train.flops import flops_per_image
from dkjax.train.mesh import batch_sharding, fsdp_sharding, replicated, train_mesh
from dkjax.train.metrics import Progress
from dkjax.train.optimizer import optimizer, schedule
from dkjax.train.state import TrainState, initial_state, state_like
from dkjax.train.step import Metrics, make_eval_step, make_train_step
from dkjax.train.throughput import Throughput

_IN_FLIGHT = 2
"""Steps dispatched ahead of completion. Two keep the devices busy; more only use memory, and can deadlock collectives
on CPUs."""


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Compiled steps and what they were compiled for. Built once and used for every arm and run of a simulation.

    Attributes:
        config: the training's settings.
        model: the network.
        tx: the optimizer.
        mesh: the devices.
        total_steps: steps of a whole training, over all rounds.
        train_step: as `make_train_step` builds it.
        eval_step: as `make_eval_step` builds it.
        learning_rate: by step; None where the optimizer is the caller's.
        flops_per_image: floating point operations of one training image; None where the peak of the devices is
            unknown.
    """

    config: TrainConfig
    model: Model
    tx: optax.GradientTransformation
    mesh: Mesh
    total_steps: int
    train_step: Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]
    eval_step: Callable[[Any, Batch], jax.Array]
    learning_rate: optax.Schedule | None
    flops_per_image: float | None = None

    def start(self, params: Any) -> TrainState:
        """Return the state before the first step; the parameters are not changed."""
        return initial_state(params, self.tx, self.mesh)

    def state_like(self, params: Any) -> TrainState:
        """Return shapes, dtypes and shardings of the state, from parameters or their shapes; nothing is computed."""
        like = state_like(params, self.tx)
        return jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
            like,
            fsdp_sharding(self.mesh, like),
        )

    def replicate_key(self, prng_key: jax.Array) -> jax.Array:
        """Replicate a typed key, the same in every process, to all devices."""
        words = np.asarray(jax.random.key_data(prng_key))
        impl = jax.random.key_impl(prng_key)
        whole = replicated(self.mesh)
        return jax.jit(lambda words: jax.random.wrap_key_data(words, impl=impl), out_shardings=whole)(words)


def make_trainer(
    config: TrainConfig,
    model: Model,
    num_records: int,
    devices: Sequence[jax.Device] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    tx: optax.GradientTransformation | None = None,
) -> Trainer:
    """Set up training.

    Args:
        config: epochs, batch size, optimizer.
        model: the network.
        num_records: images in an epoch: the uploads of all clients in one round.
        devices: to train on; by default all.
        image_shape: `(H, W, C)`; with it, the utilisation of the devices is measured.
        tx: the optimizer; by default the one that the settings describe.

    Returns:
        The trainer; nothing is compiled before its first step.

    Raises:
        ConfigError: the batch size is not divisible by the devices, or their number not by `fsdp`.
    """
    mesh = train_mesh(config.batch_size, devices, fsdp=config.fsdp, accumulate=config.accumulate)
    total_steps = max(1, config.epochs * num_records // config.batch_size)
    own = tx
    tx = optimizer(config, total_steps) if own is None else own
    return Trainer(
        config=config,
        model=model,
        tx=tx,
        mesh=mesh,
        total_steps=total_steps,
        train_step=make_train_step(model, tx, config, mesh),
        eval_step=make_eval_step(model, mesh),
        learning_rate=schedule(config, total_steps) if own is None else None,
        flops_per_image=flops_per_image(model, image_shape)
        if image_shape and accelerator_of(mesh.devices.flat[0])
        else None,
    )


def train(
    trainer: Trainer,
    state: TrainState,
    records: Indexed | DeviceResident,
    order: StepOrder,
    steps: range,
    prng_key: jax.Array,
    report: Callable[[Progress], None] = lambda progress: None,
    pending: Sequence[Metrics] = (),
    after_step: Callable[[int, TrainState, Sequence[Metrics]], None] = lambda step, state, pending: None,
    before_step: Callable[[int, TrainState], None] = lambda step, state: None,
) -> TrainState:
    """Take some training steps.

    Metrics stay on the devices between reports, so the loop does not wait for them; nevertheless every step's loss is
    checked.

    Args:
        trainer: from `make_trainer`.
        state: the state before the first of these steps; it is donated.
        records: what to train on.
        order: the `config.batch_size` records of each step, from `dkjax.input.order`.
        steps: which steps of the whole training to take, such as `range(0, trainer.total_steps)`.
        prng_key: the root of the dropout keys.
        report: called every `config.log_every` steps and after the last.
        pending: metrics of the steps right before `steps` that are in no report yet; they count in the first.
        after_step: called after every step, and after its report if there is one, with the number of steps taken so
            far, the state, which the next step donates, and the metrics since the last report. What it raises ends
            the training.
        before_step: called before every step with the number of steps taken so far and the state.

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: with the step whose loss was infinite or not a number.
        DataError: there are no records.
    """
    pending = [*pending]
    throughput = Throughput(trainer.config.batch_size, trainer.flops_per_image, trainer.mesh)
    batches = training_batches(records, order, steps, batch_sharding(trainer.mesh))
    with contextlib.closing(batches):
        for step in steps:
            before_step(step, state)
            with throughput.waiting():
                batch = next(batches)
            state, metrics = trainer.train_step(state, batch, prng_key)
            pending.append(metrics)
            throughput.step_taken()
            if len(pending) > _IN_FLIGHT:
                jax.block_until_ready(pending[-1 - _IN_FLIGHT])
            if len(pending) == trainer.config.log_every or step == steps[-1]:
                finite = finite_metrics(pending, step + 1)
                report(
                    Progress(
                        step=step + 1,
                        total_steps=trainer.total_steps,
                        loss=_mean(finite, "loss"),
                        accuracy=_mean(finite, "accuracy"),
                        learning_rate=None if trainer.learning_rate is None else float(trainer.learning_rate(step)),
                        **throughput.read(),
                    )
                )
                pending = []
            after_step(step + 1, state, pending)
    return state


def evaluate(
    trainer: Trainer,
    params: Any,
    test_views: Mapping[str, Indexed | DeviceResident],
    after_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Measure accuracy; every image counts once.

    Args:
        trainer: from `make_trainer`.
        params: the model's parameters.
        test_views: what to evaluate on, by name.
        after_batch: called after every batch; what it raises ends the evaluation.

    Returns:
        The share of images classified correctly, 0 to 1, by name.
    """
    return {
        name: int(count_correct(trainer, params, records, after_batch).sum()) / len(records)
        for name, records in test_views.items()
    }


def count_correct(
    trainer: Trainer, params: Any, records: Indexed | DeviceResident, after_batch: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Count the images of each class that the model classifies correctly; every image counts once.

    Args:
        trainer: from `make_trainer`.
        params: the model's parameters.
        records: what to test on.
        after_batch: as for `evaluate`.

    Returns:
        int64[num_classes].
    """
    batches = evaluation_batches(records, trainer.config.batch_size, batch_sharding(trainer.mesh))
    counts: list[jax.Array] = []
    for batch in batches:
        counts.append(trainer.eval_step(params, batch))
        if len(counts) > _IN_FLIGHT:
            jax.block_until_ready(counts[-1 - _IN_FLIGHT])
        after_batch()
    return np.asarray(jax.device_get(counts), np.int64).sum(axis=0)


def finite_metrics(metrics: Sequence[Metrics], step: int) -> tuple[Metrics, ...]:
    """Copy metrics to the host.

    Args:
        metrics: of consecutive steps.
        step: number of steps taken after the last of them.

    Returns:
        The same, float32[] each.

    Raises:
        NonFiniteLossError: with the first step whose loss was infinite or not a number.
    """
    fetched = jax.device_get(tuple(metrics))
    for taken, one in enumerate(fetched, step - len(fetched)):
        if not np.isfinite(one["loss"]):
            raise NonFiniteLossError(
                f"the loss of training step {taken} (counted from 0) is {one['loss']}: lower train.learning_rate, or "
                "set train.clip_norm"
            )
    return fetched


def _mean(metrics: Sequence[Metrics], name: str) -> float:
    return float(np.array([one[name] for one in metrics]).mean())
