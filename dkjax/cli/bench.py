"""`dkjax bench`: what encryption, feeding and training cost on this machine."""

import json
from typing import Annotated

import typer

from dkjax.cli.errors import for_people

bench = typer.Typer(help="Measure what encryption, feeding and training cost on this machine.", no_args_is_help=True)

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


@bench.command()
@for_people
def feed(
    context: typer.Context,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", metavar="PX", help="Side of the images, 32 or 224; may be repeated. Both."),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images of a batch; may be repeated. 256 and 1024."),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to draw from; 100 000 of 32 px, 5 000 of 224 px.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed batches of each contender.")] = 15,
    as_json: AsJson = False,
) -> None:
    """Measure how fast batches come from encrypted data sets, against the same records in ArrayRecord files.

    Writes both into a temporary folder, about 2.2 GB, and reads them once before: the page cache is measured, not the
    disk.
    """
    from dkjax.bench import feed as bench_of_feed
    from dkjax.bench import measure_feed, table

    listed = bench_of_feed.cases(sizes or (), batches or (), images)
    result = measure_feed(listed, rounds=repeats, say=_say)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        table.print_feed(result)


@bench.command()
@for_people
def photos(
    context: typer.Context,
    images: Annotated[int, typer.Option(min=1, help="How many photographs.")] = 1024,
    size: Annotated[int, typer.Option(min=16, metavar="PX", help="Side of the images, a multiple of 16.")] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure encrypting a folder of JPEG files, against decoding them alone.

    Writes the files and the data sets into a temporary folder.
    """
    from dkjax.bench import measure_photos, table

    result = measure_photos(images=images, size=size, rounds=repeats, say=_say)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        table.print_photos(result)


@bench.command()
@for_people
def train(
    context: typer.Context,
    variant: Annotated[
        str | None,
        typer.Option(help="A ViT on 224 px; B on a GPU or TPU, elsewhere the small one of the quickstart on 32 px."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images of a step; 256 on a GPU or TPU, else 64.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps of a run.")] = 100,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each contender.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Measure training fed from an encrypted data set, and with a checkpoint on its way, beside training alone.

    Writes the data set and the checkpoints into a temporary folder.
    """
    from dkjax.bench import measure_training, table, training

    result = measure_training(training.workload(variant, batch), steps=steps, rounds=repeats, say=_say)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        table.print_training(result)


def _say(text: str) -> None:
    typer.echo(f"measuring {text}", err=True)
