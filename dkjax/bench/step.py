"""What encrypting inside a training step adds to the step."""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dkjax
from dkjax import machine
from dkjax.bench.timing import take_turns
from dkjax.config import TrainConfig
from dkjax.models.vit import vit
from dkjax.train.mesh import train_mesh
from dkjax.train.optimizer import optimizer
from dkjax.train.state import TrainState, initial_state
from dkjax.train.step import Metrics, make_train_step

BLOCK_SIZE = 16
NUM_CLASSES = 1000


def measure_step(
    variant: str | None = None,
    *,
    batch: int = 16,
    size: int = 224,
    rounds: int = 7,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare a training step on plain images with one that encrypts them first, in the same compiled program.

    One device; fresh `chacha20` keys for every step, the permutations drawn inside. On a GPU the network computes in
    bfloat16.

    Args:
        variant: of the ViT with patches of 16 pixels; by default B on a GPU, Ti elsewhere.
        batch: images of a step.
        size: their side in pixels.
        rounds: timed steps of each.
        say: is told what is measured.

    Returns:
        A JSON object: the machine, a row for each of `plain step`, `step with encryption` and `encryption alone`,
        and two shares of the step: `share_by_difference` (median over the rounds of what the encrypting step takes
        longer, over the plain step's median: true to what is asked, but noisy) and `share_alone` (encryption
        alone over the plain step).
    """
    on_gpu = jax.default_backend() == "gpu"
    variant = variant or ("B" if on_gpu else "Ti")
    say(f"ViT-{variant}/{BLOCK_SIZE}, {size} px, {batch} images a step")
    model = vit(
        variant,
        patch_size=BLOCK_SIZE,
        num_classes=NUM_CLASSES,
        dtype="bfloat16" if on_gpu else "float32",
    )
    mesh = train_mesh(batch, jax.devices()[:1])
    config = TrainConfig()
    tx = optimizer(config, total_steps=10_000)
    step = make_train_step(model, tx, config, mesh)
    params = model.init(jax.random.key(0), (size, size, 3))
    rng = np.random.default_rng(0)
    data = {
        "image": jnp.asarray(rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)),
        "label": jnp.asarray(rng.integers(0, NUM_CLASSES, batch)),
    }
    scheme = dkjax.schemes.disposable(BLOCK_SIZE)
    prng_key = jax.random.key(1)

    def encrypting_step(
        state: TrainState, data: dict[str, jax.Array], image_keys: jax.Array, prng_key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        encrypted = dkjax.encrypt(scheme, image_keys, data["image"])
        return step(state, {**data, "image": encrypted}, prng_key)

    compiled = jax.jit(encrypting_step, donate_argnums=0)
    states = {name: initial_state(params, tx, mesh) for name in ("plain", "encrypted")}

    with dkjax.keys.disposable().next_round() as round_keys:
        keys = [round_keys.for_client(f"step {number}", batch) for number in range(rounds + 1)]

        def plain(_: int) -> Any:
            states["plain"], metrics = step(states["plain"], data, prng_key)
            return states["plain"], metrics

        def encrypted(number: int) -> Any:
            states["encrypted"], metrics = compiled(states["encrypted"], data, keys[number], prng_key)
            return states["encrypted"], metrics

        timings = take_turns(
            {
                "plain step": plain,
                "step with encryption": encrypted,
                "encryption alone": lambda number: dkjax.encrypt(scheme, keys[number], data["image"]),
            },
            rounds,
        )
    plain_step, longer_step = timings["plain step"], timings["step with encryption"]
    longer = statistics.median(
        with_it - without for with_it, without in zip(longer_step.seconds, plain_step.seconds, strict=True)
    )
    return {
        "bench": "step",
        **machine.describe(),
        "rounds": rounds,
        "variant": f"{variant}/{BLOCK_SIZE}",
        "dtype": model.dtype,
        "size": size,
        "batch": batch,
        "rows": [
            {
                "name": name,
                **timing.as_json(),
                "images_per_second": batch / timing.median,
            }
            for name, timing in timings.items()
        ],
        "share_by_difference": longer / plain_step.median,
        "share_alone": timings["encryption alone"].median / plain_step.median,
    }
