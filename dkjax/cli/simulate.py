"""`dkjax simulate`: clients and server in one process, and the table that compares the arms."""

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


@for_people
def simulate(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A TOML file, such as configs/quickstart.toml.", metavar="CONFIG")],
    overrides: Overrides = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Where the results go; runs/<name of the configuration> by default.")
    ] = None,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
    join_timeout: JoinTimeout = None,
    profile: Profile = None,
    tensorboard: TensorBoard = False,
    as_json: ResultsAsJson = False,
) -> None:
    """Simulate clients and server, and compare what protection costs and what the server sees.

    Splits the images among clients, lets each encrypt with keys of its own, trains a ViT on what the server
    received, for every arm of the configuration. Prints the table; writes results.json, table.md and figures. Stopped
    at any point, the same command goes on. Several processes, on one machine or many, are given the same command and
    train together.
    """
    from dkjax.cli.training import parse_profiling, prepare_training
    from dkjax.config import load_config

    settings = load_config(config, overrides or [])
    profiling = parse_profiling(profile, tensorboard)
    prints = prepare_training(coordinator, num_processes, process_id, join_timeout)
    workdir = workdir or Path("runs") / config.stem

    from dkjax.cli.observer import TerminalObserver
    from dkjax.experiment.simulation import simulate as run_simulation
    from dkjax.report import figures, table

    with TerminalObserver() as observer:
        results = run_simulation(settings, workdir, observer, profiling)
        if not prints:
            return
        (workdir / "table.md").write_text(table.as_markdown(results), encoding="utf-8")
        drawn = figures.draw(results, workdir)
    if as_json:
        typer.echo(json.dumps(results))
    else:
        table.print_table(results)
    written = [workdir / "results.json", workdir / "table.md", *drawn]
    say("written: " + ", ".join(str(path) for path in written))
    if not drawn:
        say("no figures: they need pip install matplotlib")
