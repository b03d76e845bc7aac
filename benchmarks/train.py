"""What feeding training from an encrypted data set, and keeping checkpoints, cost beside training alone.

python benchmarks/train.py
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from random_data_set import write_random
from script import AsJson, app, say, show

from dkjax.bench.table import TIMES, Tables, times
from dkjax.bench.timing import Timing, take_turns
from dkjax.config import TrainConfig
from dkjax.dkds import layout
from dkjax.input.batches import training_batches
from dkjax.input.order import uniform_order
from dkjax.models.vit import Model, vit
from dkjax.runtime import machine
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints
from dkjax.train.loop import make_trainer, train
from dkjax.train.mesh import batch_sharding
from dkjax.train.state import TrainState
from dkjax.train.step import Metrics

SYNTHETIC, STORE, KEPT = "one batch on the device", "encrypted data set", "and a checkpoint"
NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is trained: a network on batches of so many images of one size."""

    model: Model
    size: int
    batch: int
    images: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image."""
        return self.size, self.size, 3


def workload(variant: str | None = None, batch: int | None = None) -> Workload:
    """Return a workload for this machine.

    Args:
        variant: of a ViT on images of 224 px with patches of 16; by default B on a GPU or TPU, and elsewhere the
            network of configs/quickstart.toml on 32 px, whose steps are so short that whatever comes on top shows.
        batch: images of a step; 256 on a GPU or TPU, else 64.
    """
    accelerated = jax.default_backend() != "cpu"
    batch = batch or (256 if accelerated else 64)
    if variant is None and not accelerated:
        small = vit("mu", width=96, depth=3, heads=4, mlp_dim=192, patch_size=8, num_classes=NUM_CLASSES)
        return Workload(small, 32, batch, images=50_000)
    dtype: Any = "bfloat16" if accelerated else "float32"
    model = vit(variant or "B", patch_size=16, num_classes=NUM_CLASSES, dtype=dtype)
    return Workload(model, 224, batch, images=max(5_000, 4 * batch))


def measure_training(
    work: Workload, *, steps: int = 100, rounds: int = 7, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Time training steps on one batch that stays on the devices, on a data set, and with a checkpoint among them.

    The data set is generated in a temporary folder (see `TMPDIR`) and read once before. The checkpoint is written in
    the middle of the steps, while they go on, and waited for at their end.

    Args:
        work: what is trained, on all devices.
        steps: of each run.
        rounds: timed runs of each contender, which take turns.
        say: is told what is measured.

    Returns:
        A JSON object: the machine, and a row for each contender with images per second by the median, and, round by
        round, the median of its time over that of the contender that it adds something to.
    """
    config = TrainConfig(batch_size=work.batch, log_every=20)
    trainer = make_trainer(config, work.model, work.images)
    params = work.model.init(jax.random.key(0), work.shape)
    like = jax.eval_shape(lambda: params)
    bytes_kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trainer.state_like(like)))
    say(f"{steps} steps of {work.batch} images of {work.size} px, a checkpoint of {bytes_kept / 1e6:,.1f} MB")
    with tempfile.TemporaryDirectory(prefix="dkjax-train-") as folder:
        data_set = write_random(
            Path(folder) / f"images{layout.SUFFIX}", work.shape, work.images, block_size=work.model.patch_size
        )
        order = uniform_order(work.images, work.batch, seed=0)
        key = trainer.replicate_key(jax.random.key(1))
        [batch] = training_batches(data_set.pool, order, range(1), batch_sharding(trainer.mesh))
        states = {name: trainer.start(params) for name in (SYNTHETIC, STORE, KEPT)}

        def synthetic(_: int) -> TrainState:
            for _ in range(steps):
                states[SYNTHETIC], _metrics = trainer.train_step(states[SYNTHETIC], batch, key)
            return states[SYNTHETIC]

        def fed(name: str, number: int, after_step: Callable[[int, TrainState, Sequence[Metrics]], None]) -> TrainState:
            mine = range(number * steps, (number + 1) * steps)
            states[name] = train(trainer, states[name], data_set.pool, order, mine, key, after_step=after_step)
            return states[name]

        def kept(number: int) -> TrainState:
            middle = number * steps + steps // 2
            with Checkpoints(Path(folder) / "checkpoints", {}, every=1, keep=1, best=False) as checkpoints:

                def after_step(step: int, state: TrainState, _: Sequence[Metrics]) -> None:
                    if step == middle:
                        checkpoints.after_step(step, state, lambda: EMPTY_HISTORY)

                return fed(KEPT, number, after_step)

        timings = take_turns(
            {SYNTHETIC: synthetic, STORE: lambda number: fed(STORE, number, lambda *_: None), KEPT: kept}, rounds
        )
    images = steps * work.batch
    beside = {SYNTHETIC: SYNTHETIC, STORE: SYNTHETIC, KEPT: STORE}
    return {
        "bench": "train",
        **machine.describe(),
        "size": work.size,
        "batch": work.batch,
        "steps": steps,
        "rounds": rounds,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(like)),
        "dtype": work.model.dtype,
        "checkpoint_bytes": bytes_kept,
        "contenders": [_row(name, timing, timings[beside[name]], images) for name, timing in timings.items()],
    }


def _row(name: str, timing: Timing, beside: Timing, images: int) -> dict[str, Any]:
    ratios = [mine / its for mine, its in zip(timing.seconds, beside.seconds, strict=True)]
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": images / timing.median,
        "times_the_one_before": float(np.median(ratios)),
    }


def tables(result: dict[str, Any]) -> Tables:
    """Make a table of what `measure_training` returned."""
    rows = [
        (row["name"], f"{row['images_per_second']:,.0f}", f"{row['times_the_one_before']:.3f}", *times(row))
        for row in result["contenders"]
    ]
    title = (
        f"{result['steps']} steps of {result['batch']} images of {result['size']} px, {result['dtype']}; "
        f"{result['parameters'] / 1e6:.2f} M parameters, checkpoints of {result['checkpoint_bytes'] / 1e6:,.1f} MB"
    )
    yield title, ("images/s", "times the\none before", *TIMES), rows


def main(
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
    show(measure_training(workload(variant, batch), steps=steps, rounds=repeats, say=say), tables, as_json)


if __name__ == "__main__":
    app(main)()
