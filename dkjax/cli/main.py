"""The `dkjax` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

import contextlib
import io
import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import dkjax
from dkjax.cli.attack import attack
from dkjax.cli.bench import bench
from dkjax.cli.bus_error import explain_bus_errors
from dkjax.cli.convert import convert
from dkjax.cli.cost import cost
from dkjax.cli.doctor import doctor
from dkjax.cli.encrypt import encrypt
from dkjax.cli.evaluate import evaluate
from dkjax.cli.export import export
from dkjax.cli.frontier import frontier
from dkjax.cli.ingest import ingest
from dkjax.cli.init import init
from dkjax.cli.inspect import inspect
from dkjax.cli.invite import invite
from dkjax.cli.options import taking_optional, taking_several
from dkjax.cli.plan import plan
from dkjax.cli.predict import predict
from dkjax.cli.recipes import recipes
from dkjax.cli.report import report
from dkjax.cli.simulate import simulate
from dkjax.cli.stop import leave_at_once_when_stopped, several_processes
from dkjax.cli.ticket import ticket
from dkjax.cli.train import train
from dkjax.cli.upload import upload
from dkjax.cli.verify import verify
from dkjax.cli.withdraw import withdraw
from dkjax.errors import StoppedError, TransportError
from dkjax.report.console import say, show, visible

# Typer brings Click along in some versions, and imports it in others.
_UsageError: Any = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Commands whose usage errors show file names, as a shell's `*` gives them, without control characters."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            text = error.format_message()
            if visible(text) == text:
                raise
            raise _UsageError(visible(text), error.ctx) from None


app = typer.Typer(
    name="dkjax",
    cls=_Commands,
    help="Train Vision Transformers together on images encrypted with disposable keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(simulate)
app.command()(init)
app.command()(encrypt)
app.command()(inspect)
app.command()(verify)
app.command()(convert)
app.command(cls=taking_several("--data", "--test"))(train)
app.command(cls=taking_several("--data"))(evaluate)
app.command(cls=taking_optional("--csv", "-"))(predict)
app.command()(export)
app.command(cls=taking_several("--clients"))(invite)
app.add_typer(ticket, name="ticket")
app.command()(upload)
app.command()(ingest)
app.command()(withdraw)
app.command()(attack)
app.command()(report)
app.command()(frontier)
app.command()(plan)
app.command()(cost)
app.command()(recipes)
app.command()(doctor)
app.add_typer(bench, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        show(f"dkjax {dkjax.__version__}")
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
    leave_at_once_when_stopped()
    explain_bus_errors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that does not know a letter gets its number.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as stop:
        if stop.code == StoppedError.exit_code or (stop.code and several_processes()):
            _leave(int(stop.code))
        raise
    except (Exception, KeyboardInterrupt) as error:
        for line in traceback.format_exc().splitlines():
            say(line)
        raise SystemExit(getattr(error, "exit_code", 1)) from None


def _leave(code: int) -> NoReturn:
    """Leave at once, without taking the interpreter apart.

    What was stopped may still be computed by threads of XLA on memory of Python's: to take the interpreter apart under
    them ends in a crash now and then. Everything else has been closed on the way here.
    """
    if several_processes() and code != TransportError.exit_code:
        # The others are on their way out, too, and would take this one for dead.
        with contextlib.suppress(Exception):
            sys.modules["jax"].distributed.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
