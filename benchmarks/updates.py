"""What the update of a client of federated learning gives away of its images, beside an encrypted upload of them.

python benchmarks/updates.py
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import numpy as np
import typer
from script import AsJson, app, say, show

from dkjax.attacks.cases import Case, sending
from dkjax.attacks.gradient_inversion import GradientInversion, PatchInversion, update_of_step
from dkjax.attacks.judging import ssim_score
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.attacks.statistics import Score
from dkjax.attacks.trials import try_looking, try_puzzle
from dkjax.bench.table import Tables
from dkjax.cipher import schemes
from dkjax.config import KeysConfig
from dkjax.errors import ArgumentError
from dkjax.models.vit import vit
from dkjax.runtime import machine
from dkjax.sources import read_all
from dkjax.sources.open import open_source
from dkjax.sources.source import Subset

SIDE = 7
UPDATES: tuple[tuple[str, str, int], ...] = (
    ("sgd", "float32", 1),
    ("sgd", "bfloat16", 1),
    ("sgd", "int8", 1),
    ("adamw", "float32", 1),
    ("sgd", "float32", 2),
    ("sgd", "float32", 8),
)
"""Optimizer of the client, encoding of its update, and images of its one step."""


def measure_updates(
    source: str = "fashion-mnist", images: int = 16, *, steps: int = 2000, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Attack updates of the network of configs/federated.toml, and uploads of the same images.

    The network's parameters are those of a start, with a head drawn at random: the head of zeros that training begins
    with lets no gradient through to the images.

    Args:
        source: of the images.
        images: how many, a multiple of 8.
        steps: of the matching attack; 0 to leave it out.
        say: is told what is measured.

    Returns:
        A JSON object: the machine, and a row for each update and each upload, with its SSIM and 95 % interval.

    Raises:
        ArgumentError: the images are no multiple of 8.
    """
    if images < 8 or images % 8:
        raise ArgumentError(f"--images {images} is not a multiple of 8")
    all_images = open_source(source, "train", image_size=(28, 28))
    records = read_all(Subset(all_images, np.arange(images)))
    plain, labels = records["image"], records["label"]
    model = vit("mu", width=96, depth=4, heads=4, mlp_dim=192, patch_size=SIDE, num_classes=10)
    params = model.init(jax.random.key(0), (28, 28, plain.shape[-1]))
    head = params["head"]
    params = {**params, "head": {**head, "kernel": 0.1 * jax.random.normal(jax.random.key(1), head["kernel"].shape)}}
    rows: list[dict[str, Any]] = []
    attacks: list[PatchInversion | GradientInversion] = [PatchInversion()]
    if steps:
        attacks.append(GradientInversion(steps=steps))
    for optimizer, encoding, batch in UPDATES:
        for attack in attacks:
            say(f"{optimizer}, {encoding}, {batch} images: {attack.name}")
            found = []
            for start in range(0, images, batch):
                here = slice(start, start + batch)
                update = update_of_step(model, params, plain[here], labels[here], optimizer, encoding)  # type: ignore[arg-type]
                found.append(attack.run(np.zeros_like(plain[here]), Knowledge(SIDE, update=update)).images)
            score = ssim_score(plain, Reconstruction(np.concatenate(found)))
            what = {"optimizer": optimizer, "encoding": encoding, "batch": batch}
            rows.append({**what, "attack": attack.name, **_as_json(score)})
    for name, scheme in (
        ("disposable", schemes.disposable(block_size=SIDE)),
        ("disposable, 75 % fixed", schemes.disposable(block_size=SIDE, fixed_blocks=12, fixed_pixels=36)),
        ("sorted_blocks", schemes.sorted_blocks(block_size=SIDE)),
    ):
        with sending(scheme, KeysConfig(mode="reproducible", seed=0), shared=False) as send:
            case = Case(name, scheme, send(plain), plain)
            for attack_name, trial in (("looking", try_looking), ("puzzle", try_puzzle)):
                say(f"{name}: {attack_name}")
                *_, last = trial(case)
                score = next(score for score in last.scores if score.metric == "ssim")
                rows.append({"scheme": name, "attack": attack_name, **_as_json(score)})
    return {"bench": "updates", **machine.describe(), "source": source, "images": images, "steps": steps, "rows": rows}


def _as_json(score: Score) -> dict[str, Any]:
    reached = score.reached
    return {"ssim": reached.mean, "low": reached.low, "high": reached.high, "chance": score.chance}


def tables(result: dict[str, Any]) -> Tables:
    """Lay out what `measure_updates` returned."""

    def cells(row: dict[str, Any]) -> tuple[str, ...]:
        interval = f"{row['low']:.2f} to {row['high']:.2f}"
        return row["attack"], f"{row['ssim']:.2f}", interval, f"{row['chance']:.2f}"

    headings = ("attack", "SSIM", "95 % interval", "chance")
    updates = [row for row in result["rows"] if "batch" in row]
    names = [f"{row['optimizer']}, {row['encoding']}, {row['batch']} images" for row in updates]
    yield (
        f"an update of one step, of {result['images']} images",
        headings,
        [(name, *cells(row)) for name, row in zip(names, updates, strict=True)],
    )
    uploads = [row for row in result["rows"] if "scheme" in row]
    yield "an upload of the same images", headings, [(row["scheme"], *cells(row)) for row in uploads]


def main(
    context: typer.Context,
    source: Annotated[str, typer.Option(help="Of the images, as for dkjax encrypt.")] = "fashion-mnist",
    images: Annotated[int, typer.Option(min=1, help="How many, a multiple of 8.")] = 16,
    steps: Annotated[int, typer.Option(min=0, help="Of the attack that matches gradients; 0 leaves it out.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Attack updates of federated learning, and encrypted uploads of the same images."""
    show(measure_updates(source, images, steps=steps, say=say), tables, as_json)


if __name__ == "__main__":
    app(main)()
