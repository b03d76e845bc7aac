"""What encrypting inside a training step adds to the step, and how fast the step is beside PyTorch's."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dkjax
from dkjax.bench.timing import Contender, Timing, take_turns
from dkjax.bench.timm_step import EAGER, timm_steps
from dkjax.config import TrainConfig
from dkjax.models.vit import Model, vit
from dkjax.runtime import machine
from dkjax.train.accelerators import accelerator_of
from dkjax.train.flops import flops_per_image
from dkjax.train.mesh import train_mesh
from dkjax.train.optimizer import optimizer
from dkjax.train.state import TrainState, initial_state
from dkjax.train.step import Metrics, make_train_step

BLOCK_SIZE = 16
NUM_CLASSES = 1000
PLAIN, ENCRYPTING, ALONE = "plain step", "step with encryption", "encryption alone"


def measure_step(
    variant: str | None = None,
    *,
    batches: Sequence[int] = (),
    size: int = 224,
    rounds: int = 7,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare a training step on plain images with one that encrypts them first, in the same compiled program.

    One device; fresh `chacha20` keys for every step, the permutations drawn inside. On a GPU or TPU the network
    computes in bfloat16. Where PyTorch and timm are installed, their step is measured beside it.

    Args:
        variant: of the ViT with patches of 16 pixels; by default Ti on a CPU, B elsewhere.
        batches: images of a step, one case for each; by default 16 on a CPU, and 64, 128 and 256 elsewhere.
        size: their side in pixels.
        rounds: timed steps of each.
        say: is told what is measured.

    Returns:
        A JSON object: the machine; a case for each batch; `times_timm`, the fastest plain step's images per second over
        those of timm's, each with the batch that suits it best, or None. A case has a row for each of `plain step`,
        `step with encryption`, `encryption alone` and timm's, with `of_peak` where the chip's is known and the row is a
        whole step; and two shares of the step: `share_by_difference` (median over the rounds of what the encrypting
        step takes longer, over the plain step's median: true to what is asked, but noisy) and `share_alone`
        (encryption alone over the plain step).
    """
    accelerated = jax.default_backend() != "cpu"
    variant = variant or ("B" if accelerated else "Ti")
    model = vit(
        variant,
        patch_size=BLOCK_SIZE,
        num_classes=NUM_CLASSES,
        dtype="bfloat16" if accelerated else "float32",
    )
    params = model.init(jax.random.key(0), (size, size, 3))
    chip = accelerator_of(jax.devices()[0])
    at_peak = chip and chip.flops / flops_per_image(model, (size, size, 3))
    cases = []
    for batch in batches or ((64, 128, 256) if accelerated else (16,)):
        say(f"ViT-{variant}/{BLOCK_SIZE}, {size} px, {batch} images a step")
        cases.append(_measure(model, params, batch, size, rounds, at_peak, say))
    return {
        "bench": "step",
        **machine.describe(),
        "rounds": rounds,
        "variant": f"{variant}/{BLOCK_SIZE}",
        "dtype": model.dtype,
        "size": size,
        "cases": cases,
        "times_timm": _times_timm(cases),
    }


def _measure(
    model: Model,
    params: optax.Params,
    batch: int,
    size: int,
    rounds: int,
    at_peak: float | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure one case; `at_peak` is how many images a second the device's peak would allow."""
    mesh = train_mesh(batch, jax.devices()[:1])
    config = TrainConfig()
    tx = optimizer(config, total_steps=10_000)
    step = make_train_step(model, tx, config, mesh)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, batch)
    data = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
    scheme = dkjax.schemes.disposable(BLOCK_SIZE)
    prng_key = jax.random.key(1)

    def encrypting_step(
        state: TrainState, data: dict[str, jax.Array], image_keys: jax.Array, prng_key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        encrypted = dkjax.encrypt(scheme, image_keys, data["image"])
        return step(state, {**data, "image": encrypted}, prng_key)

    compiled = jax.jit(encrypting_step, donate_argnums=0)
    states = {name: initial_state(params, tx, mesh) for name in (PLAIN, ENCRYPTING)}

    with dkjax.keys.disposable().next_round() as round_keys:
        keys = [round_keys.for_client(f"step {number}", batch) for number in range(rounds + 1)]

        def plain(_: int) -> Any:
            states[PLAIN], metrics = step(states[PLAIN], data, prng_key)
            return states[PLAIN], metrics

        def encrypting(number: int) -> Any:
            states[ENCRYPTING], metrics = compiled(states[ENCRYPTING], data, keys[number], prng_key)
            return states[ENCRYPTING], metrics

        contenders: dict[str, Contender] = {
            PLAIN: plain,
            ENCRYPTING: encrypting,
            ALONE: lambda number: dkjax.encrypt(scheme, keys[number], data["image"]),
            **timm_steps(model, config, {"image": images, "label": labels}, say),
        }
        timings = take_turns(contenders, rounds, settled=True)
    plain_step = timings[PLAIN]
    longer = statistics.median(
        with_it - without for with_it, without in zip(timings[ENCRYPTING].seconds, plain_step.seconds, strict=True)
    )
    return {
        "batch": batch,
        "rows": [_row(name, timing, batch, at_peak) for name, timing in timings.items()],
        "share_by_difference": longer / plain_step.median,
        "share_alone": timings[ALONE].median / plain_step.median,
    }


def _row(name: str, timing: Timing, batch: int, at_peak: float | None) -> dict[str, Any]:
    images_per_second = batch / timing.median
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": images_per_second,
        "of_peak": images_per_second / at_peak if at_peak and name != ALONE else None,
    }


def _times_timm(cases: Sequence[Mapping[str, Any]]) -> float | None:
    def fastest(prefix: str) -> float | None:
        rates = [row["images_per_second"] for case in cases for row in case["rows"] if row["name"].startswith(prefix)]
        return max(rates, default=None)

    ours, theirs = fastest(PLAIN), fastest(EAGER)
    return ours / theirs if ours and theirs else None
