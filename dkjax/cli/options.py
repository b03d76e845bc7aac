"""Options that several commands have, and options that take several values, as a shell's `--data *.dkds` gives them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value of the configuration.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Coordinator = Annotated[
    str | None,
    typer.Option(
        envvar="JAX_COORDINATOR_ADDRESS",
        help="Where process 0 listens, to train in several processes. Those that srun or mpirun starts, or on a TPU "
        "pod, find each other by themselves.",
        metavar="HOST:PORT",
    ),
]
NumProcesses = Annotated[
    int | None, typer.Option(min=1, envvar="JAX_NUM_PROCESSES", help="How many processes train together; 1 for alone.")
]
ProcessId = Annotated[
    int | None, typer.Option(min=0, envvar="JAX_PROCESS_ID", help="Which of them this is, counted from 0.")
]
JoinTimeout = Annotated[
    int | None,
    typer.Option(min=1, help="How long processes wait for each other at the start; 300 by default.", metavar="SECONDS"),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Write a trace of training steps FROM to TO - 1 for XProf, TensorBoard or Perfetto.", metavar="FROM:TO"
    ),
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write the metrics as TensorBoard's events, too.")]
ResultsAsJson = Annotated[bool, typer.Option("--json", help="Print results.json on stdout instead of the table.")]


def taking_several(*options: str) -> type[TyperCommand]:
    """Make a command class in which some options take all values up to the next option.

    Click gives an option a fixed number of values. These may also be repeated, `--data A --data B`, or written
    `--data=A B`.

    Args:
        *options: such as `--data`, each declared as a list.

    Returns:
        A class for `app.command(cls=...)`.
    """

    class Several(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, list(_spread(args, options)))

    return Several


def taking_optional(option: str, value: str) -> type[TyperCommand]:
    """Make a command class in which an option may stand without its value.

    Args:
        option: such as `--csv`, declared as taking a value.
        value: what it is where the option stands at the end, or before another option.

    Returns:
        A class for `app.command(cls=...)`.
    """

    class Optional(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            following = [*args[1:], "--"][: len(args)]
            alone = [
                arg == option and after != "-" and after.startswith("-")
                for arg, after in zip(args, following, strict=True)
            ]
            given = [f"{arg}={value}" if missing else arg for arg, missing in zip(args, alone, strict=True)]
            return super().parse_args(ctx, given)

    return Optional


def _spread(args: Sequence[str], options: Collection[str]) -> Iterator[str]:
    """Repeat an option before each of its values but the first."""
    current, values = None, 0

    def check() -> None:
        if current is not None and not values:
            raise typer.BadParameter(f"{current} needs at least one value")

    for number, arg in enumerate(args):
        if arg == "--":
            check()
            yield from args[number:]
            return
        if arg.startswith("-") and arg != "-":
            check()
            name, equals, _ = arg.partition("=")
            current, values = (name if name in options else None), int(bool(equals))
        elif current is not None:
            if values:
                yield current
            values += 1
        yield arg
    check()
