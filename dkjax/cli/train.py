"""`dkjax train`: the server trains a ViT on encrypted data sets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import (
    Coordinator,
    JoinTimeout,
    NumProcesses,
    Overrides,
    ProcessId,
    Profile,
    ResultsAsJson,
    TensorBoard,
)
from dkjax.report.console import say

TestAll = Annotated[
    bool | None,
    typer.Option(
        "--test-all/--test-share",
        help="Of plain images that are not divided into training and test images, take all, or the share that dkjax "
        "encrypt --split train leaves out (the default).",
        show_default=False,
    ),
]


@for_people
def train(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A TOML file: its sections model and train.", metavar="CONFIG")],
    data: Annotated[list[Path], typer.Option(help="Encrypted data sets to train on.", metavar="NAME.dkds...")],
    workdir: Annotated[Path, typer.Option(help="Where the model and the results go.", metavar="DIR")],
    tests: Annotated[
        list[str] | None,
        typer.Option("--test", help="Encrypted data sets or plain images to test on.", metavar="NAME.dkds|SOURCE..."),
    ] = None,
    test_all: TestAll = None,
    overrides: Overrides = None,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
    join_timeout: JoinTimeout = None,
    profile: Profile = None,
    tensorboard: TensorBoard = False,
    as_json: ResultsAsJson = False,
) -> None:
    """Train a ViT on the encrypted data sets of several clients.

    They are checked whole, then read where they lie. They must agree in classes, image size and block size. Writes a
    model, results.json and metrics.jsonl.

    A finished training is not done again. A stopped or killed one goes on from its newest checkpoint and ends as if it
    had not been stopped.

    Several processes, on one machine or many, are given the same command and train together.
    """
    from dkjax.cli.training import parse_profiling, prepare_training
    from dkjax.config import ServerConfig, load_as

    settings = load_as(ServerConfig, config, overrides or [])
    profiling = parse_profiling(profile, tensorboard)
    prints = prepare_training(coordinator, num_processes, process_id, join_timeout)

    from dkjax.cli.observer import TrainingObserver
    from dkjax.report import server_run as served
    from dkjax.server.run import train_on_data_sets

    with TrainingObserver() as observer:
        results = train_on_data_sets(
            settings, data, workdir, tests=tests or (), test_all=bool(test_all), observer=observer, profiling=profiling
        )
    if not prints:
        return
    if as_json:
        typer.echo(json.dumps(results))
    else:
        served.print_training(results)
    say(f"written: {workdir / 'results.json'}, {workdir / 'model.json'}, {workdir / 'params'}")
