"""A training that is evaluated on its way: how accuracy grows with the steps."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dkjax.input.device_resident import DeviceResident
from dkjax.runtime.processes import is_leader
from dkjax.server import state as server
from dkjax.server.state import ServerState
from dkjax.sources.source import Indexed
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints, History
from dkjax.train.loop import evaluate, finite_metrics
from dkjax.train.metrics import MetricsLog, Progress
from dkjax.train.observer import Observer
from dkjax.train.profiling import Profiling
from dkjax.train.state import TrainState
from dkjax.train.step import Metrics


def fit(
    start: ServerState,
    steps: range,
    test_sets: Mapping[str, Indexed | DeviceResident],
    log: MetricsLog,
    observer: Observer,
    begun: History = EMPTY_HISTORY,
    checkpoints: Checkpoints | None = None,
    before_step: Callable[[int, TrainState], None] = lambda step, state: None,
) -> tuple[ServerState, History]:
    """Take training steps on what a server has received, and evaluate it `train.evaluations` times on the way.

    Args:
        start: where the server stands; its training state is given up.
        steps: which steps of the whole training; the model is evaluated after the last in any case. The server may
            have taken some of them, and `begun` is then what came of those.
        test_sets: what to evaluate on, by name.
        log: where every report and evaluation is written.
        observer: told the same.
        begun: what has been found on the way so far.
        checkpoints: where the training is kept on its way, if it is to be stopped and gone on with.
        before_step: as for `dkjax.train.loop.train`.

    Returns:
        The server after the last step, and what was found on the way.

    Raises:
        NonFiniteLossError: training diverged.
        ConfigError: the weights of the clients do not fit what has been received.
        StoppedError: `checkpoints` were asked to stop.
    """
    trainer, stand, history = start.trainer, start, begun

    def report(progress: Progress) -> None:
        nonlocal history
        log.write(progress.step, dataclasses.asdict(progress))
        observer.training(progress)
        history = dataclasses.replace(history, last=progress, unreported=())

    def after_step(step: int, state: TrainState, unreported: Sequence[Metrics]) -> None:
        if checkpoints is not None:
            checkpoints.after_step(step, state, lambda: so_far(finite_metrics(unreported, step)))

    def so_far(unreported: tuple[Metrics, ...] = ()) -> History:
        return dataclasses.replace(history, unreported=unreported, log_bytes=log.num_bytes)

    def stop_if_asked() -> None:
        if checkpoints is not None:
            checkpoints.stop_if_asked(int(stand.state.step), stand.state, so_far)

    stop_if_asked()  # the first step takes long to compile
    taken = int(start.state.step)
    for part in between_evaluations(steps, trainer.total_steps, trainer.config.evaluations):
        if any(point["step"] == part.stop for point in begun.curve):
            continue
        left = range(max(taken, part.start), part.stop)
        stand = server.train(stand, left, report, history.unreported, after_step, before_step)
        accuracy = evaluate(trainer, stand.state.params, test_sets, stop_if_asked)
        epoch = part.stop * trainer.config.epochs / trainer.total_steps
        point = {"step": part.stop, "epoch": round(epoch, 3), "test_accuracy": accuracy}
        history = dataclasses.replace(history, curve=(*history.curve, point))
        log.write(part.stop, point)
        observer.evaluated(epoch, accuracy)
        if checkpoints is not None:
            checkpoints.after_evaluation(part.stop, stand.state, so_far)
    return stand, history


def open_log(folder: Path, history: History, watch: Profiling) -> MetricsLog:
    """Go on in the log of a run, `metrics.jsonl`, in the leader; the other processes write none.

    Args:
        folder: of the run.
        history: what is in the log and stays there.
        watch: whether to write the events of TensorBoard, too.
    """
    told = max((history.last.step if history.last else 0, *(point["step"] for point in history.curve)))
    path = folder / "metrics.jsonl" if is_leader() else None
    return MetricsLog(path, history.log_bytes, events=watch.events(folder), first_step=told + 1 if told else 0)


def between_evaluations(steps: range, total_steps: int, evaluations: int) -> list[range]:
    """Cut steps where the model is evaluated; the last cut is their end."""
    stops = {math.ceil(total_steps * i / evaluations) for i in range(1, evaluations + 1)} | {steps.stop}
    edges = [steps.start, *sorted(stop for stop in stops if steps.start < stop <= steps.stop)]
    return [range(*pair) for pair in itertools.pairwise(edges)]
