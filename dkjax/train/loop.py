"""The training loop: batches in, progress out, and a stop at the first loss that is not a number."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from dkjax.config import TrainConfig
from dkjax.data.batches import evaluation_batches, training_batches
from dkjax.data.sampling import StepOrder
from dkjax.data.source import Indexed
from dkjax.errors import NonFiniteLossError
from dkjax.models.vit import Model
from dkjax.train.mesh import batch_sharding, data_mesh
from dkjax.train.metrics import Progress
from dkjax.train.optimizer import optimizer, schedule
from dkjax.train.state import TrainState, initial_state
from dkjax.train.step import Batch, Metrics, make_eval_step, make_train_step


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
        learning_rate: by step.
    """

    config: TrainConfig
    model: Model
    tx: optax.GradientTransformation
    mesh: Mesh
    total_steps: int
    train_step: Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]
    eval_step: Callable[[Any, Batch], jax.Array]
    learning_rate: optax.Schedule

    def start(self, params: Any) -> TrainState:
        """Return the state before the first step, from parameters that stay untouched."""
        return initial_state(params, self.tx, self.mesh)

    def state_like(self, params: Any) -> TrainState:
        """Return shapes and dtypes of the state, from parameters or their shapes; nothing is computed."""
        return jax.eval_shape(self.start, params)


def make_trainer(
    config: TrainConfig, model: Model, num_records: int, devices: Sequence[jax.Device] | None = None
) -> Trainer:
    """Set up training.

    Args:
        config: epochs, batch size, optimizer.
        model: the network.
        num_records: images in an epoch; what all clients together upload in one round.
        devices: to train on; by default all there are.

    Returns:
        The trainer; nothing is compiled before its first step.

    Raises:
        ConfigError: the devices do not divide the batch.
    """
    mesh = data_mesh(config.batch_size, devices)
    total_steps = max(1, config.epochs * num_records // config.batch_size)
    tx = optimizer(config, total_steps)
    return Trainer(
        config=config,
        model=model,
        tx=tx,
        mesh=mesh,
        total_steps=total_steps,
        train_step=make_train_step(model, tx, config.label_smoothing, mesh),
        eval_step=make_eval_step(model, mesh),
        learning_rate=schedule(config, total_steps),
    )


def train(
    trainer: Trainer,
    state: TrainState,
    records: Indexed,
    order: StepOrder,
    steps: range,
    prng_key: jax.Array,
    report: Callable[[Progress], None] = lambda progress: None,
    unreported: Sequence[Metrics] = (),
    after_step: Callable[[int, TrainState, Sequence[Metrics]], None] = lambda step, state, unreported: None,
) -> TrainState:
    """Take some training steps.

    Metrics stay on the devices between reports, so the loop does not wait for them; every step's loss is checked all
    the same.

    Args:
        trainer: from `make_trainer`.
        state: where training stands; it is given up.
        records: what to train on.
        order: which records a step sees, from `dkjax.data.sampling`, `config.batch_size` of them.
        steps: which steps of the whole training to take, such as `range(0, trainer.total_steps)`.
        prng_key: the root of the dropout keys.
        report: called every `config.log_every` steps and after the last.
        unreported: metrics of the steps right before `steps` that no report has told of; they count in the first.
        after_step: called after every step, and after its report if there is one, with the number of steps taken so
            far, the state, which the next step gives up, and the metrics since the last report. What it raises ends
            the training.

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: with the step whose loss was infinite or not a number.
        DataError: there are no records.
    """
    batch_size = trainer.config.batch_size
    pending = list(unreported)
    taken, since = 0, time.perf_counter()
    batches = training_batches(records, order, steps, batch_sharding(trainer.mesh))
    for step, batch in zip(steps, batches, strict=True):
        state, metrics = trainer.train_step(state, batch, prng_key)
        pending.append(metrics)
        taken += 1
        if len(pending) == trainer.config.log_every or step == steps[-1]:
            finite = finite_metrics(pending, step + 1)
            now = time.perf_counter()
            report(
                Progress(
                    step=step + 1,
                    total_steps=trainer.total_steps,
                    loss=_mean(finite, "loss"),
                    accuracy=_mean(finite, "accuracy"),
                    learning_rate=float(trainer.learning_rate(step)),
                    images_per_second=taken * batch_size / (now - since),
                )
            )
            pending, taken, since = [], 0, now
        after_step(step + 1, state, pending)
    return state


def evaluate(
    trainer: Trainer,
    params: Any,
    test_views: Mapping[str, Indexed],
    after_batch: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Measure accuracy; every image counts once.

    Args:
        trainer: from `make_trainer`.
        params: the model's parameters.
        test_views: the test set as it is seen in different ways, by name.
        after_batch: called after every batch; what it raises ends the evaluation.

    Returns:
        The share of images named rightly, 0 to 1, by name.
    """
    return {
        name: int(named_rightly(trainer, params, records, after_batch).sum()) / len(records)
        for name, records in test_views.items()
    }


def named_rightly(
    trainer: Trainer, params: Any, records: Indexed, after_batch: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Count the images of each class that the model names rightly; every image counts once.

    Args:
        trainer: from `make_trainer`.
        params: the model's parameters.
        records: what to test on.
        after_batch: as for `evaluate`.

    Returns:
        int64[num_classes].
    """
    batches = evaluation_batches(records, trainer.config.batch_size, batch_sharding(trainer.mesh))
    counts = []
    for batch in batches:
        counts.append(trainer.eval_step(params, batch))
        after_batch()
    return np.asarray(jax.device_get(counts), np.int64).sum(axis=0)


def finite_metrics(metrics: Sequence[Metrics], step: int) -> tuple[Metrics, ...]:
    """Bring metrics to the host.

    Args:
        metrics: of consecutive steps.
        step: how many steps had been taken after the last of them.

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
