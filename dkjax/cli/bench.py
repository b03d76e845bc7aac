"""`dkjax bench`: what encryption costs on this machine, by itself and inside a training step."""

import json
from typing import Annotated

import typer

from dkjax.cli.errors import for_people

bench = typer.Typer(help="Measure what encryption costs on this machine.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of the tables.")]


@bench.command()
@for_people
def encrypt(
    context: typer.Context,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", metavar="PX", help="Side of the images, 32, 224 or 512; may be repeated. All of them."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images of a call; 1024, 64 or 16 by default, by the size.")
    ] = None,
    schemes: Annotated[
        list[str] | None,
        typer.Option("--scheme", metavar="NAME", help="Measure this scheme too, such as etc; may be repeated."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Timed calls of each contender; 15, quick 7.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only 224 px (or --size), uint8, a key for each image.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure `dkjax.encrypt` against NumPy, JAX and PyTorch code without it, and against copying the bytes.

    From keys to encrypted bytes: every call gets fresh keys and draws its permutations from them. The contenders take
    turns, so that other work on the machine slows all of them alike.
    """
    from dkjax.bench import encryption, measure_encryption, table

    result = measure_encryption(
        encryption.cases(sizes or (), batch, quick),
        schemes=schemes or (),
        growth=encryption.GROWTH[:3] if quick else encryption.GROWTH,
        rounds=repeats or (7 if quick else 15),
        say=_say,
    )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        table.print_encryption(result)


@bench.command()
@for_people
def step(
    context: typer.Context,
    variant: Annotated[
        str | None, typer.Option(help="The ViT: mu, Ti, S, B or L, patches of 16 pixels; Ti on a CPU, else B.")
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images of a step; may be repeated. 16 on a CPU, else 64, 128 and 256."),
    ] = None,
    size: Annotated[int, typer.Option(min=16, metavar="PX", help="Side of the images.")] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps of each.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Measure what encrypting inside a training step of a ViT adds to the step, and the step beside timm's."""
    from dkjax.bench import measure_step, table

    result = measure_step(variant, batches=batches or (), size=size, rounds=repeats, say=_say)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        table.print_step(result)


def _say(text: str) -> None:
    typer.echo(f"measuring {text}", err=True)
