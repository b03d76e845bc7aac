"""How a measurement runs as a script: with the options, errors and tables of `dkjax bench`."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from dkjax.bench.table import Tables, print_tables
from dkjax.cli.errors import for_people

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of the tables.")]


def app(measure: Callable[..., None]) -> typer.Typer:
    """Make a command line of a function whose first argument is the `typer.Context`."""
    made = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "obj": {"debug": False}},
    )
    made.command()(for_people(measure))
    return made


def say(text: str) -> None:
    """Tell on stderr what is measured."""
    typer.echo(f"measuring {text}", err=True)


def show(result: dict[str, Any], tables: Callable[[dict[str, Any]], Tables], as_json: bool) -> None:
    """Print a result on stdout, as JSON or as tables."""
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_tables(result, tables(result))
