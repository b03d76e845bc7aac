"""`dkjax cost`: one upload against federated learning, before either is done."""

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson, Overrides
from dkjax.report.console import print_line, print_table, results_console, say

if TYPE_CHECKING:
    import numpy as np

    from dkjax.cipher import Scheme
    from dkjax.config import SimulationConfig
    from dkjax.federated.cost import Native
    from dkjax.sources import Source

_SAMPLE, _SAMPLE_BYTES = 64, 1 << 24


@for_people
def cost(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A TOML file, as for dkjax simulate.", metavar="CONFIG")],
    figure: Annotated[
        Path | None, typer.Option(help="Draw bytes against rounds to this PNG.", metavar="NAME.png", dir_okay=False)
    ] = None,
    native: Annotated[
        str | None,
        typer.Option(
            help="The size that pictures have before data.image_size, to compare with uploading them so; by default, "
            "what the files of a folder have.",
            metavar="WIDTHxHEIGHT",
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compute bytes, arithmetic and memory of one upload and of federated learning, and say which is cheaper for whom.

    Nothing is trained. A few images of the source are encrypted, to see how far they compress.
    """
    size = None if native is None else _parsed(native)
    from dkjax.config import load_config

    settings = load_config(config, overrides or [])

    from dkjax.experiment.federated_training import number_of_rounds
    from dkjax.federated import cost as costs
    from dkjax.models.vit import vit
    from dkjax.sources.open import open_configured
    from dkjax.sources.source import natural_ids

    source = open_configured(settings.data, "train")
    federated, by = settings.federated, settings.clients.partition_by
    clients = settings.clients.count if by is None else len({*natural_ids(source, by)})
    model = vit(num_classes=len(source.class_names), patch_size=settings.patch_size, **settings.model.settings())
    compressed, packed = _shares(settings, source)
    case = costs.Case(
        model=model,
        image_shape=source.image_shape,
        images=len(source),
        clients=clients,
        rounds=number_of_rounds(federated, settings.train.epochs, clients),
        clients_per_round=federated.clients_per_round or clients,
        local_epochs=federated.local_epochs,
        epochs=settings.train.epochs,
        batch_size=federated.batch_size or settings.train.batch_size,
        lora_rank=federated.lora_rank,
        compressed_share=compressed,
        packed_share=packed,
        native=_native(settings, source, size),
    )
    lines = costs.estimate(case)
    sentence = costs.verdict(lines)
    if figure is not None:
        from dkjax.report.cost_figure import draw_bytes

        draw_bytes(lines, case.rounds, figure)
        say(f"written: {figure}")
    if as_json:
        described = {
            name: getattr(case, name) for name in ("images", "clients", "rounds", "clients_per_round", "local_epochs")
        }
        shape = {"image_shape": list(case.image_shape), "compressed_share": compressed, "packed_share": packed}
        native_shape = None if case.native is None else list(case.native.image_shape)
        found = {"native_shape": native_shape, "ways": costs.as_json(lines), "verdict": sentence}
        typer.echo(json.dumps({**described, **shape, **found}))
        return
    console = results_console()
    print_line(
        console,
        f"{case.images:,} images of {_shape(case.image_shape)}, {clients} clients, {case.rounds} rounds of "
        f"{case.clients_per_round} clients; for a client of average size, over the whole training:",
    )
    headings = (
        "way",
        "up\n(MB)",
        "down\n(MB)",
        "client\n(GFLOP)",
        "memory\n(MB)",
        "server\n(GFLOP)",
        "break-even\n(round)",
    )
    body = [
        (
            line.name,
            _number(line.up_bytes / 1e6),
            _number(line.down_bytes / 1e6),
            _number(line.client_flops / 1e9),
            _number(line.client_bytes / 1e6),
            _number(line.server_flops / 1e9),
            "-" if line.break_even_round is None else f"{math.ceil(line.break_even_round):,}",
        )
        for line in lines
    ]
    print_table(console, headings, body, left_out_first=[headings[4], headings[5], headings[3]])
    notes = (
        "GFLOP: of training. Memory: of a client, at least. Break-even: the round from which one raw upload has moved "
        "fewer bytes. Compressed: PNG. Packed: dkjax convert --to packed."
    )
    if case.native is not None:
        notes += f" Native: {_shape(case.native.image_shape)}, as the server cannot resize what is encrypted."
    print_line(console, notes, style="dim")
    print_line(console, sentence)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _parsed(native: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT as (H, W)."""
    from dkjax.errors import ConfigError

    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", native)
    if found is None:
        raise ConfigError(f"--native {native}: expected a width and a height in pixels, such as 1024x768")
    return int(found[2]), int(found[1])


def _native(settings: "SimulationConfig", source: "Source", size: tuple[int, int] | None) -> "Native | None":
    """Whole patches of the size that pictures have, where that is more than `data.image_size` leaves of them.

    How far they compress is measured where the files are of that size.
    """
    from dkjax.errors import ConfigError
    from dkjax.federated.cost import Native
    from dkjax.sources.open import open_configured
    from dkjax.sources.source import stored_sizes

    stored = [found for found in stored_sizes(source, slice(_SAMPLE)) if found is not None]
    usual = max(stored, key=stored.count) if stored else None
    wanted = size or usual
    if wanted is None:
        return None
    side = settings.patch_size
    height, width = (length // side * side for length in wanted)
    channels = source.image_shape[2]
    if size is not None and not height * width:
        raise ConfigError(f"--native {size[1]}x{size[0]} is smaller than a patch of {side} x {side}")
    if size is None and height * width <= source.image_shape[0] * source.image_shape[1]:
        return None
    if usual is None or usual[0] < height or usual[1] < width:
        return Native((height, width, channels))
    data = settings.data.model_copy(update={"image_size": (height, width)})
    return Native((height, width, channels), *_shares(settings, open_configured(data, "train")))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _shares(settings: "SimulationConfig", source: "Source") -> tuple[float | None, float]:
    """Bytes of a few encrypted images over their raw bytes: as PNG, if it can hold them; of sorted blocks, packed."""
    import io

    from PIL import Image

    from dkjax.cipher import schemes
    from dkjax.client.from_config import make_scheme
    from dkjax.dkds.packed import packed_bytes

    few = max(1, min(_SAMPLE, len(source), _SAMPLE_BYTES // math.prod(source.image_shape)))
    images = source[:few]["image"]
    side = settings.scheme.block_size
    packed = packed_bytes(_encrypted(settings, schemes.sorted_blocks(block_size=side), images), side)
    if source.image_shape[2] not in (1, 3):
        return None, packed / images.size
    total = 0
    for image in _encrypted(settings, make_scheme(settings.scheme, source.image_shape), images):
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer := io.BytesIO(), "PNG")
        total += len(buffer.getvalue())
    return total / images.size, packed / images.size


def _encrypted(settings: "SimulationConfig", scheme: "Scheme", images: "np.ndarray") -> "np.ndarray":
    import numpy as np

    from dkjax import keys
    from dkjax.cipher import encrypt

    ratchet = keys.disposable(prng=settings.keys.prng)
    try:
        with ratchet.next_round() as round_keys:
            return np.asarray(encrypt(scheme, round_keys.for_client("sample", len(images)), images))
    finally:
        ratchet.discard()
