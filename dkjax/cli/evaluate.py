"""`dkjax evaluate`: how well a trained model does."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.train import TestAll
from dkjax.cli.trained import refuse_simulation


@for_people
def evaluate(
    context: typer.Context,
    workdir: Annotated[Path, typer.Argument(help="The --workdir of a finished dkjax train.", metavar="DIR")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Encrypted data sets or plain images; by default what the training was tested on.",
            metavar="NAME.dkds|SOURCE...",
        ),
    ] = None,
    test_all: TestAll = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images at a time; those of the training by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model's accuracy, over all images and for each class."""
    from dkjax.cli.observer import TrainingObserver
    from dkjax.report import server_run as served
    from dkjax.server.evaluate import evaluate_workdir

    refuse_simulation(workdir)
    with TrainingObserver() as observer:
        measured = evaluate_workdir(workdir, data=data or (), test_all=test_all, batch_size=batch, observer=observer)
    if as_json:
        typer.echo(json.dumps(measured))
    else:
        served.print_accuracy(measured)
