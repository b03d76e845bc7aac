"""From which round on one upload has moved fewer bytes than federated learning, by network and image size.

python benchmarks/break_even.py

Nothing is trained: the numbers are those of `dkjax cost`, for clients of 1 000 images that take part in every round.
The table is that of docs/results.md.
"""

import json
import math
from typing import Annotated, Any

import typer
from script import AsJson, app

from dkjax.federated import cost
from dkjax.models.vit import Model, vit

_FASHION = {"width": 96, "depth": 4, "heads": 4, "mlp_dim": 192}
ROWS: dict[str, tuple[Model, tuple[int, int, int]]] = {
    "ViT of `configs/federated.toml`": (vit("mu", patch_size=7, **_FASHION), (28, 28, 1)),
    "ViT-Ti/16": (vit("Ti", patch_size=16), (224, 224, 3)),
    "ViT-S/16": (vit("S", patch_size=16), (224, 224, 3)),
    "ViT-S/16, not resized": (vit("S", patch_size=16), (768, 1024, 3)),
    "ViT-B/16": (vit("B", patch_size=16), (224, 224, 3)),
}
WAYS = ("fedavg float32", "fedavg bfloat16", "fedavg int8", "fedavg_lora")
HEADINGS = (
    "network",
    "image",
    "upload (MB)",
    "update (MB)",
    *("against " + way for way in WAYS),
    "training, an image and pass (GFLOP)",
)


def measure_break_even(images: int = 1000) -> dict[str, Any]:
    """Compute the table for clients of so many images."""
    rows = []
    for name, (model, shape) in ROWS.items():
        case = cost.Case(
            model=model,
            image_shape=shape,
            images=images,
            clients=1,
            rounds=1,
            clients_per_round=1,
            local_epochs=1,
            epochs=1,
            batch_size=32,
            lora_rank=4,
        )
        lines = {line.name: line for line in cost.estimate(case)}
        rounds = {way: lines[way].break_even_round for way in WAYS}
        row = {"network": name, "image_shape": list(shape), "upload_bytes": lines["one upload, raw"].up_bytes}
        flops = lines["one upload, raw"].server_flops / images
        rows.append({**row, "update_bytes": lines[WAYS[0]].up_bytes, "break_even": rounds, "flops": flops})
    return {"bench": "break_even", "images": images, "rows": rows}


def as_markdown(result: dict[str, Any]) -> list[str]:
    """Return the lines of the table; a round from which an upload has moved fewer bytes is the next whole one."""

    def number(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)]
    for row in result["rows"]:
        cells = [
            row["network"],
            " x ".join(map(str, row["image_shape"])),
            number(row["upload_bytes"] / 1e6),
            number(row["update_bytes"] / 1e6),
            *(f"{math.ceil(rounds):,}" for rounds in row["break_even"].values()),
            number(row["flops"] / 1e9),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(
    context: typer.Context,
    images: Annotated[int, typer.Option(min=1, help="Images of a client.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Print the table, in Markdown."""
    result = measure_break_even(images)
    typer.echo(json.dumps(result) if as_json else "\n".join(as_markdown(result)))


if __name__ == "__main__":
    app(main)()
