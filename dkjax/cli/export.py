"""`dkjax export`: a trained model for other libraries."""

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.stop import tidying_up
from dkjax.cli.trained import open_trained
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.models import pretrained


class Format(enum.StrEnum):
    """The names of `dkjax.models.pretrained.FORMATS`, which take long to import."""

    npz = enum.auto()
    safetensors = enum.auto()
    hf = enum.auto()
    stablehlo = enum.auto()


@for_people
def export(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            help="The --workdir of a finished dkjax train, or arms/NAME/run-N of a simulation.", metavar="DIR"
        ),
    ],
    to: Annotated[
        Format,
        typer.Option(
            help="npz: Google's names, for vision_transformer, big_vision and timm; safetensors: timm's names; hf: a "
            "folder for transformers; stablehlo: the network with its weights."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="What to write, a folder for hf; it must not exist. DIR/model.FORMAT by default.", metavar="PATH"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model for other libraries, and say how they load it.

    PATH appears when it is complete, or not at all.
    """
    from dkjax.models.pretrained import how_to_load
    from dkjax.runtime.files import refuse_existing
    from dkjax.server.trained_run import export_trained

    out = out or folder / f"model.{to}"
    refuse_existing(out, "--out")
    trained = open_trained(folder)
    kind = cast("pretrained.Format", to.value)
    with tidying_up():
        export_trained(trained, out, kind, "--out")
    files = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out]
    size = sum(path.stat().st_size for path in files)
    summary = {
        "path": str(out),
        "to": to.value,
        "bytes": size,
        "image_shape": list(trained.image_shape),
        "class_names": list(trained.class_names),
        "images": "float32[n, H, W, C], uint8 pixels / 127.5 - 1",
        "load_with": how_to_load(out, trained.model, trained.image_shape, to=kind),
    }
    if as_json:
        typer.echo(json.dumps(summary))
        return
    height, width, channels = trained.image_shape
    show(
        f"{out}: {len(trained.class_names)} classes of images {height} x {width} x {channels}, pixels from -1 to 1 "
        f"(uint8 / 127.5 - 1); {size / 1e6:,.1f} MB"
    )
    show(f"load with {summary['load_with']}")
