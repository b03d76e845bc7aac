"""A training that is evaluated on its way: how accuracy grows with the steps."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from dkjax.collaborative import server
from dkjax.collaborative.observer import Observer
from dkjax.collaborative.server import Server
from dkjax.data.source import Indexed
from dkjax.train.loop import evaluate
from dkjax.train.metrics import MetricsLog, Progress

Point = dict[str, Any]
"""`step`, `epoch` and `test_accuracy` by the name of the test set."""


def train_evaluated(
    start: Server,
    steps: range,
    test_sets: Mapping[str, Indexed],
    log: MetricsLog,
    observer: Observer,
    note: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Server, list[Point]]:
    """Take training steps on what a server has received, and evaluate it `train.evaluations` times on the way.

    Args:
        start: where the server stands; its training state is given up.
        steps: which steps of the whole training; the model is evaluated after the last in any case.
        test_sets: what to evaluate on, by name.
        log: where every report and evaluation is written.
        observer: told the same.
        note: called with every report.

    Returns:
        The server after the last step, and what each evaluation found.

    Raises:
        NonFiniteLossError: training diverged.
        ConfigError: the weights of the clients do not fit what has been received.
    """
    trainer, stand, points = start.trainer, start, []

    def report(progress: Progress) -> None:
        log.write(**dataclasses.asdict(progress))
        observer.training(progress)
        note(progress)

    for part in between_evaluations(steps, trainer.total_steps, trainer.config.evaluations):
        stand = server.train(stand, part, report)
        accuracy = evaluate(trainer, stand.state.params, test_sets)
        epoch = part.stop * trainer.config.epochs / trainer.total_steps
        points.append({"step": part.stop, "epoch": round(epoch, 3), "test_accuracy": accuracy})
        log.write(**points[-1])
        observer.evaluated(epoch, accuracy)
    return stand, points


def between_evaluations(steps: range, total_steps: int, evaluations: int) -> list[range]:
    """Cut steps where the model is evaluated; the last cut is their end."""
    stops = {math.ceil(total_steps * i / evaluations) for i in range(1, evaluations + 1)} | {steps.stop}
    edges = [steps.start, *sorted(stop for stop in stops if steps.start < stop <= steps.stop)]
    return [range(*pair) for pair in itertools.pairwise(edges)]
