"""`dkjax predict`: the classes of new images."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.stop import tidying_up
from dkjax.cli.trained import open_trained
from dkjax.report.console import say, show

if TYPE_CHECKING:
    from dkjax.train.trained_model import Trained


@for_people
def predict(
    context: typer.Context,
    workdir: Annotated[
        Path,
        typer.Argument(
            help="The --workdir of a finished dkjax train, or arms/NAME/run-N of a simulation.", metavar="WORKDIR"
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, folders of them at any depth, .npz files with image, or encrypted data sets NAME.dkds.",
            metavar="IMAGES...",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name of each image.", metavar="K")] = 1,
    as_csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write CSV to a file that must not exist, or to stdout.", metavar="[FILE]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name the class of each image, and how probable the model finds it.

    Plain images of any size are resized as they were for training. Files that cannot be read are listed and left out.
    """
    from dkjax.cli.progress import Activity
    from dkjax.errors import ConfigError, DataError
    from dkjax.runtime.files import refuse_existing, whole_file
    from dkjax.server.new_images import NewImages, preparation_of
    from dkjax.server.predict import predict_images

    to_stdout = str(as_csv) == "-"
    if as_json and to_stdout:
        raise ConfigError("--json and --csv would both be printed on stdout: name a file, --csv FILE")
    if as_csv is not None and not to_stdout:
        refuse_existing(as_csv, "--csv")
    trained = open_trained(workdir)
    inputs = NewImages(images, trained.image_shape, preparation_of(workdir))
    predicted: list[dict[str, Any]] = []
    with Activity() as activity:
        report = activity.counting("predicting", "images")
        done = 0
        for chunk in inputs:
            for skipped in chunk.skipped:
                activity.say(f"skipped {skipped.name}: {skipped.reason}")
            predicted += _named(trained, chunk.names, predict_images(trained, chunk.images), top)
            done += len(chunk.names) + len(chunk.skipped)
            report(done, inputs.total)
    if not predicted:
        raise DataError(f"no image could be read; the first, {inputs.skipped[0].name}: {inputs.skipped[0].reason}")
    if inputs.resized:
        height, width, _ = trained.image_shape
        say(f"note: {inputs.resized:,} of another size were resized to {height} x {width} pixels, as for training")
    if as_csv is not None:
        table = _csv(predicted, min(top, len(trained.class_names)))
        if to_stdout:
            _print_csv(table)
        else:
            with tidying_up(), whole_file(as_csv) as unfinished:
                unfinished.write_bytes(table.encode("utf-8", "surrogateescape"))
            say(f"written: {as_csv}")
    if as_json:
        left_out = [one._asdict() for one in inputs.skipped]
        summary = {"workdir": str(workdir), "class_names": list(trained.class_names), "images": predicted}
        typer.echo(json.dumps({**summary, "resized": inputs.resized, "skipped": left_out}))
    elif as_csv is None:
        for one in predicted:
            named = ", ".join(f"{rank['class']} {rank['probability']:.1%}" for rank in one["top"])
            show(f"{one['image']}: {named}")


def _named(trained: "Trained", names: Sequence[str], probabilities: Any, top: int) -> Iterator[dict[str, Any]]:
    """The most probable classes of each image; the first of equals first."""
    for name, row in zip(names, probabilities, strict=True):
        best = (-row).argsort(kind="stable")[:top]
        ranks = [{"class": trained.class_names[label], "probability": float(row[label])} for label in best]
        yield {"image": name, **ranks[0], "top": ranks}


def _csv(predicted: Sequence[dict[str, Any]], top: int) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    more = [f"{column}_{rank}" for rank in range(2, top + 1) for column in ("class", "probability")]
    writer.writerow(["image", "class", "probability", *more])
    for one in predicted:
        ranks = [value for rank in one["top"] for value in (rank["class"], f"{rank['probability']:.6f}")]
        writer.writerow([one["image"], *ranks])
    return text.getvalue()


def _print_csv(table: str) -> None:
    """A program gets the names as they are, a terminal what can be shown of them."""
    if sys.stdout.isatty():
        for line in table.splitlines():
            show(line)
        return
    binary = typer.get_binary_stream("stdout")
    binary.write(table.encode("utf-8", "surrogateescape"))
    binary.flush()
