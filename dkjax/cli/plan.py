"""`dkjax plan`: what training needs, on hardware that need not be there."""

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson, Overrides
from dkjax.errors import ConfigError
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.config import PlanDataConfig
    from dkjax.train.plan import Plan


@for_people
def plan(
    context: typer.Context,
    config: Annotated[
        Path, typer.Argument(help="A TOML file, as for dkjax simulate or dkjax train.", metavar="CONFIG")
    ],
    topology: Annotated[
        str | None,
        typer.Option(
            help="TPUs to plan for, such as v5e:4x4, v6e:2x2 or v5p:2x2x1; by default the devices at hand.",
            metavar="NAME",
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(help="Of one image, such as 224,224,3; by default that of data.source.", metavar="H,W,C"),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="How many; by default those of data.source.", metavar="N")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compile the training step and print its memory, arithmetic, time and communication, without running it.

    With --topology it is compiled for TPUs that need not be there; that takes libtpu, which JAX's extra "tpu" installs.
    """
    from dkjax.config import PlanConfig, load_as

    settings = load_as(PlanConfig, config, overrides or [])

    import jax

    if topology is not None:
        # What is planned for is not what the machine has, which may be at work.
        jax.config.update("jax_platforms", "cpu")

    from dkjax.models.vit import vit
    from dkjax.train.plan import plan_training, topology_devices

    shape, count = _images(settings.data, image_shape, classes)
    devices = None if topology is None else topology_devices(topology)
    model = vit(num_classes=count, patch_size=settings.patch_size, **settings.model.settings())
    planned = plan_training(settings.train, model, shape, devices)
    if as_json:
        derived = {"needed_bytes": planned.needed_bytes, "images_per_second": planned.images_per_second}
        typer.echo(json.dumps({"topology": topology, **dataclasses.asdict(planned), **derived}))
    else:
        for line in _lines(planned):
            show(line)


def _images(data: "PlanDataConfig", shape: str | None, classes: int | None) -> tuple[tuple[int, int, int], int]:
    """Shape and number of classes: as given, else those of the source."""
    if shape is not None and not re.fullmatch(r"[1-9]\d*,[1-9]\d*,[1-9]\d*", shape):
        raise ConfigError(f"--image-shape {shape}: expected height, width and channels, such as 224,224,3")
    if shape is None or classes is None:
        if data.source is None:
            raise ConfigError("the configuration names no data.source: give --image-shape H,W,C and --classes N")
        from dkjax.config import DataConfig
        from dkjax.sources.open import open_configured

        source = open_configured(DataConfig(**data.model_dump()), "train")
        classes = classes or len(source.class_names)
        if shape is None:
            return source.image_shape, classes
    height, width, channels = map(int, shape.split(","))
    return (height, width, channels), classes


def _lines(planned: "Plan") -> list[str]:
    height, width, channels = planned.image_shape
    room = f" of {_size(planned.memory_bytes)}" if planned.memory_bytes else ""
    collectives = ", ".join(f"{count} x {name}" for name, count in planned.collectives.items())
    return [
        f"{planned.devices} x {planned.device_kind}; {planned.batch_size} images of {height} x {width} x {channels} a "
        f"step, {planned.batch_size // planned.devices} a device; {planned.parameters / 1e6:,.2f} million parameters",
        f"memory of a device: {_size(planned.needed_bytes)}{room}: arguments {_size(planned.argument_bytes)}, "
        f"temporaries {_size(planned.temporary_bytes)}, output {_size(planned.output_bytes)}, program "
        f"{_size(planned.program_bytes)}",
        f"work of a device: {planned.flops / 1e9:,.2f} GFLOP, {planned.accessed_bytes / 1e9:,.2f} GB read and written",
        f"time of a step: {_time(planned)}",
        f"collectives: {collectives or 'none'}",
        f"compiled in {planned.compile_seconds:.1f} s",
    ]


def _time(planned: "Plan") -> str:
    bounds = [
        f"{words} {1e3 * seconds:,.3g} ms, {planned.batch_size / seconds:,.0f} images/s"
        for words, seconds in (
            ("by the compiler's estimate", planned.estimated_seconds),
            ("by the chip's arithmetic and bandwidth at best", planned.least_seconds),
        )
        if seconds
    ]
    return "; ".join(bounds) or "no estimate for these devices"


def _size(count: int) -> str:
    return f"{count / (1 << 30):,.2f} GiB" if count >= 1 << 28 else f"{count / (1 << 20):,.1f} MiB"
