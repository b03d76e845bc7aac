"""The `dkjax` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

import contextlib
import os
import sys
from typing import Annotated, NoReturn

import typer

import dkjax
from dkjax.cli.bench import bench
from dkjax.cli.convert import convert
from dkjax.cli.doctor import doctor
from dkjax.cli.encrypt import encrypt
from dkjax.cli.evaluate import evaluate
from dkjax.cli.export import export
from dkjax.cli.inspect import inspect
from dkjax.cli.options import taking_several
from dkjax.cli.plan import plan
from dkjax.cli.simulate import simulate
from dkjax.cli.train import train
from dkjax.cli.verify import verify
from dkjax.errors import StoppedError, TransportError

app = typer.Typer(
    name="dkjax",
    help="Train Vision Transformers together on images encrypted with disposable keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(simulate)
app.command()(encrypt)
app.command()(inspect)
app.command()(verify)
app.command()(convert)
app.command(cls=taking_several("--data", "--test"))(train)
app.command(cls=taking_several("--data"))(evaluate)
app.command()(export)
app.command()(plan)
app.command()(doctor)
app.add_typer(bench, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dkjax {dkjax.__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train Vision Transformers together on images encrypted with disposable keys."""
    context.obj = {"debug": debug}


def main() -> None:
    """Run the command line as a process of its own."""
    try:
        app()
    except SystemExit as stop:
        if stop.code == StoppedError.exit_code or (stop.code and _several_processes()):
            _leave(int(stop.code))
        raise


def _several_processes() -> bool:
    return "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized()


def _leave(code: int) -> NoReturn:
    """Leave at once, without taking the interpreter apart.

    What was stopped may still be computed by threads of XLA on memory of Python's: to take the interpreter apart under
    them ends in a crash now and then. Everything else has been closed on the way here.
    """
    if _several_processes() and code != TransportError.exit_code:
        # The others are on their way out, too, and would take this one for dead.
        with contextlib.suppress(Exception):
            sys.modules["jax"].distributed.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
