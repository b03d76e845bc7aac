"""One training, from its first step or its newest checkpoint to saved parameters: what server and experiment run."""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from dkjax.errors import DataError
from dkjax.input.device_resident import DeviceResident
from dkjax.input.order import StepOrder
from dkjax.input.record_pool import RecordPool
from dkjax.models.vit import Params
from dkjax.runtime.mapped_file import require_unchanged
from dkjax.runtime.processes import is_leader, run_on_all
from dkjax.sources.source import Indexed
from dkjax.train import loop
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints, History, NoCheckpoints
from dkjax.train.loop import Trainer, evaluate, finite_metrics
from dkjax.train.metrics import MetricsLog, Progress
from dkjax.train.observer import Observer
from dkjax.train.profiling import Profiler, Profiling
from dkjax.train.state import TrainState
from dkjax.train.step import Metrics
from dkjax.train.trained_model import Trained, save_trained

_METRICS = "metrics.jsonl"


@dataclasses.dataclass(frozen=True)
class Run:
    """What one training is, and where it is written.

    Attributes:
        trainer: the compiled steps.
        seed: of the initial parameters and of dropout.
        image_shape: `(H, W, C)`.
        class_names: by label.
        made_from: the data sets it is trained on, as `model.json` names them.
        folder: for parameters, metrics and traces; None to write nothing.
        checkpoints: where the training is kept on its way, and what stops it; by default nothing.
        stages: how many stages there are, with equal shares of the steps.
        pretrained: parameters to start from; None to draw them.
        name: of the run, in notes to a person; empty where there is one run alone.
        observer: told what happens.
        profiling: what is recorded beside the metrics.
    """

    trainer: Trainer
    seed: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    made_from: tuple[dict[str, Any], ...] = ()
    folder: Path | None = None
    checkpoints: Checkpoints = dataclasses.field(default_factory=NoCheckpoints)
    stages: int = 1
    pretrained: Params | None = None
    name: str = ""
    observer: Observer = dataclasses.field(default_factory=Observer)
    profiling: Profiling = dataclasses.field(default_factory=Profiling)


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stretch of a training is on: all of it, or one round of uploads.

    Attributes:
        records: what to train on.
        order: which records a step sees, from `dkjax.input.order`.
        test_sets: what to evaluate on, by name.
        adapt: what is done to the parameters that the first stage starts from.
    """

    records: Indexed | DeviceResident
    order: StepOrder
    test_sets: Mapping[str, Indexed | DeviceResident]
    adapt: Callable[[Params], Params] = lambda params: params


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a training ended with.

    Attributes:
        trained: the model.
        history: every evaluation and the last report.
    """

    trained: Trained
    history: History

    @property
    def accuracy(self) -> dict[str, float]:
        """Accuracy after the last step, by the name of the test set."""
        return dict(self.history.curve[-1]["test_accuracy"])


def train_run(run: Run, stages: Iterable[Stage]) -> Finished:
    """Train stage by stage, evaluate `train.evaluations` times on the way, and keep the model.

    Args:
        run: what to train, and where it is written.
        stages: `run.stages` of them; each is asked for when the one before is trained.

    Returns:
        The trained model, on every device, and its history.

    Raises:
        NonFiniteLossError: training diverged.
        DamagedDataSetError: a file that records are mapped from changed meanwhile.
        StoppedError: the checkpoints were asked to stop.
    """
    with contextlib.ExitStack() as stack:
        training = Training(run, stack)
        for number, stage in enumerate(stages):
            training.start(stage.adapt)
            first, stop = (run.trainer.total_steps * edge // run.stages for edge in (number, number + 1))
            training.take(range(first, stop), stage)
    trained = Trained(run.trainer.model, training.state.params, run.image_shape, run.class_names, run.made_from)
    if run.folder is not None:
        save_trained(run.folder, trained)
    return Finished(trained, training.history)


class Training:
    """A run under way, from the newest checkpoint if there is one.

    Attributes:
        history: what has been reported and evaluated so far.

    Args:
        run: what to train, and where it is written.
        stack: closes the checkpoints, the log and the profiler when it is unwound.
    """

    def __init__(self, run: Run, stack: contextlib.ExitStack) -> None:
        self._run, trainer = run, run.trainer
        self._init_key, dropout_key = jax.random.split(jax.random.key(run.seed))
        like = jax.eval_shape(lambda: trainer.model.init(self._init_key, run.image_shape))
        self._checkpoints = stack.enter_context(run.checkpoints)
        found = self._checkpoints.newest(trainer.state_like(like))
        self._state: TrainState | None = None
        self._stage: Stage | None = None
        self.history = EMPTY_HISTORY
        if found is not None:
            self._state, self.history = found
            name = f"{run.name}: " if run.name else ""
            run.observer.note(f"{name}going on after step {int(self.state.step)} of {trainer.total_steps}")
        self._dropout_key = trainer.replicate_key(dropout_key)
        folder = run.folder if is_leader() else None
        last = max((self.history.last.step if self.history.last else 0, *(at["step"] for at in self.history.curve)))
        self._log = stack.enter_context(
            MetricsLog(
                folder and folder / _METRICS,
                self.history.log_bytes,
                events=folder and run.profiling.events(folder),
                first_step=last + 1 if last else 0,
            )
        )
        # Each process writes a trace of its own.
        traces = (run.folder or Path()) / "profile"
        self._profiler = stack.enter_context(Profiler(traces, run.profiling.profile))

    @property
    def state(self) -> TrainState:
        """The state after the steps taken so far; there is one once training has started."""
        assert self._state is not None
        return self._state

    def start(self, adapt: Callable[[Params], Params] = lambda params: params) -> None:
        """Start from the pretrained parameters or from drawn ones, unless training resumes from a checkpoint."""
        if self._state is None:
            run = self._run
            params = run.pretrained
            if params is None:
                params = run.trainer.model.init(self._init_key, run.image_shape)
            self._state = run.trainer.start(adapt(params))

    def take(self, steps: range, stage: Stage) -> None:
        """Take steps of the whole training that a checkpoint does not have, and evaluate after the last of them."""
        trainer, self._stage = self._run.trainer, stage
        self.stop_if_asked()  # the first step takes long to compile
        taken = int(self.state.step)
        evaluated = {point["step"] for point in self.history.curve}
        for part in between_evaluations(steps, trainer.total_steps, trainer.config.evaluations):
            if part.stop in evaluated:
                continue
            self._state = loop.train(
                trainer,
                self.state,
                stage.records,
                stage.order,
                range(max(taken, part.start), part.stop),
                self._dropout_key,
                self.report,
                self.history.pending,
                self._after_step,
                self._profiler.before_step,
            )
            self.evaluate(part.stop, stage.test_sets)

    def evaluate(self, step: int, test_sets: Mapping[str, Indexed | DeviceResident]) -> None:
        """Evaluate the state after `step` steps, and keep it if that is due."""
        trainer = self._run.trainer
        accuracy = evaluate(trainer, self.state.params, test_sets, self.stop_if_asked)
        self._require_unchanged()
        epoch = step * trainer.config.epochs / trainer.total_steps
        point = {"step": step, "epoch": round(epoch, 3), "test_accuracy": accuracy}
        self.history = dataclasses.replace(self.history, curve=(*self.history.curve, point))
        self._log.write(step, point)
        self._run.observer.evaluated(epoch, accuracy)
        self._checkpoints.after_evaluation(step, self.state, self._history_now)

    def report(self, progress: Progress) -> None:
        """Write a report to the log, and tell the observer."""
        self._log.write(progress.step, dataclasses.asdict(progress))
        self._run.observer.training(progress)
        self.history = dataclasses.replace(self.history, last=progress, pending=())

    def stop_if_asked(self) -> None:
        """Raise `StoppedError`, with a checkpoint on the disk, if training is to stop."""
        self._checkpoints.stop_if_asked(int(self.state.step), self.state, self._history_now)

    def _after_step(self, step: int, state: TrainState, pending: Sequence[Metrics]) -> None:
        self._checkpoints.after_step(step, state, lambda: self._history_now(finite_metrics(pending, step)))

    def _history_now(self, pending: tuple[Metrics, ...] = ()) -> History:
        """Return what a checkpoint, which is about to be written, has beside the state."""
        self._require_unchanged()
        return dataclasses.replace(self.history, pending=pending, log_bytes=self._log.num_bytes)

    def _require_unchanged(self) -> None:
        """Let nothing be kept that was computed from files that changed since they were checked."""
        folder = self._run.folder
        if is_leader() and folder is not None and not (folder / _METRICS).exists():
            # Orbax would create it again, with this checkpoint alone.
            raise DataError(f"{folder} was removed while it was in use")
        if self._stage is not None:
            read = (self._stage.records, *self._stage.test_sets.values())
            files = [file for records in read if isinstance(records, RecordPool) for file in records.files]
            run_on_all(functools.partial(require_unchanged, files))


def between_evaluations(steps: range, total_steps: int, evaluations: int) -> list[range]:
    """Cut steps where the model is evaluated; the last cut is their end."""
    stops = {math.ceil(total_steps * i / evaluations) for i in range(1, evaluations + 1)} | {steps.stop}
    edges = [steps.start, *sorted(stop for stop in stops if steps.start < stop <= steps.stop)]
    return [range(*pair) for pair in itertools.pairwise(edges)]
