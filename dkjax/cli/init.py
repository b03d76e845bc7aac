"""`dkjax init`: the configuration that several sites and their server begin with."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.report.console import show


class First(StrEnum):
    """The values of `dkjax.config.First`, which take long to import."""

    accuracy = "accuracy"
    protection = "protection"


@for_people
def init(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="The file to write; it must not exist.", metavar="FILE")] = Path(
        "run.toml"
    ),
    image_size: Annotated[
        str, typer.Option(help="Side of the images in pixels, or HEIGHTxWIDTH.", metavar="PIXELS")
    ] = "224",
    channels: Annotated[int, typer.Option(help="3 for colour, 1 for grey.", metavar="N")] = 3,
    classes: Annotated[
        str | None, typer.Option(help="Names of all classes, as in good,defect; by default the sites' folders.")
    ] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Side of a block; by default the largest usual one that divides the images.")
    ] = None,
    first: Annotated[First, typer.Option(help="What comes first where one costs the other.")] = First.accuracy,
    as_json: AsJson = False,
) -> None:
    """Write a commented run.toml, the settings that all sites and the server share.

    `dkjax encrypt` and `dkjax train` take it with --config and as it is. Comments say what was measured of the scheme.
    """
    from dkjax.config import starter_config
    from dkjax.errors import ConfigError
    from dkjax.runtime.files import refuse_existing, whole_file

    refuse_existing(path, "FILE")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}; make it first")
    sides = image_size.split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise ConfigError(f"--image-size {image_size} is no size; expected a number such as 224, or 240x320")
    text = starter_config(
        (int(sides[0]), int(sides[-1])),
        channels=channels,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        block_size=block_size,
        first=first.value,
    )
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"written": str(path), "config": text}))
    else:
        show(f"written: {path}; read its comments, then give it to all sites and the server")
        show(f"next, at each site: dkjax encrypt ./photos --config {path} --client NAME --out NAME.dkds")
