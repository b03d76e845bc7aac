"""`dkjax cost`: one upload against federated learning, before either is done."""

import json
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
    from dkjax.sources import Source

_SAMPLE = 64


@for_people
def cost(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A TOML file, as for dkjax simulate.", metavar="CONFIG")],
    figure: Annotated[
        Path | None, typer.Option(help="Draw bytes against rounds to this PNG.", metavar="NAME.png", dir_okay=False)
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compute bytes, arithmetic and memory of one upload and of federated learning, and say which is cheaper for whom.

    Nothing is trained. A few images of the source are encrypted, to see how far they compress.
    """
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
        typer.echo(json.dumps({**described, **shape, "ways": costs.as_json(lines), "verdict": sentence}))
        return
    console = results_console()
    print_line(
        console,
        f"{case.images:,} images of {' x '.join(map(str, case.image_shape))}, {clients} clients, {case.rounds} rounds "
        f"of {case.clients_per_round} clients; for a client of average size, over the whole training:",
    )
    headings = (
        "way",
        "up\n(MB)",
        "down\n(MB)",
        "client\n(GFLOP)",
        "client\n(MB)",
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
            "-" if line.break_even_round is None else _number(line.break_even_round),
        )
        for line in lines
    ]
    print_table(console, headings, body, left_out_first=[headings[4], headings[5], headings[3]])
    print_line(console, "Break-even: from this round on, one raw upload has moved fewer bytes.", style="dim")
    print_line(console, sentence)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _shares(settings: "SimulationConfig", source: "Source") -> tuple[float | None, float]:
    """Bytes of a few encrypted images over their raw bytes: as PNG, if it can hold them; of sorted blocks, packed."""
    import io

    from PIL import Image

    from dkjax.cipher import schemes
    from dkjax.client.from_config import make_scheme
    from dkjax.dkds.packed import packed_bytes

    images = source[: min(_SAMPLE, len(source))]["image"]
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
