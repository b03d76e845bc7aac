"""AdamW with warm-up and cosine decay, the usual optimizer of ViTs."""

import functools

import jax
import optax

from dkjax.config import TrainConfig


def schedule(config: TrainConfig, total_steps: int) -> optax.Schedule:
    """Return the learning rate by step: linear warm-up, then cosine decay to zero at `total_steps`."""
    return optax.schedules.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=int(total_steps * config.warmup_fraction),
        decay_steps=total_steps,
    )


def optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """Return AdamW with clipping by global norm; only kernels decay, not biases, scales or embeddings.

    With `head_learning_rate` and `embedding_learning_rate`, the head and the patch embedding have rates of their own,
    under the same schedule; `pretrained_start.Start.settings` leaves out the second for an embedding that is not new.
    What is new before or behind a pretrained trunk has further to go than the trunk, which Adam moves at its full rate
    by whatever gradients a head gives that knows nothing yet.
    """
    steps = [optax.adamw(schedule(config, total_steps), weight_decay=config.weight_decay, mask=kernels)]
    if config.clip_norm is not None:
        steps.insert(0, optax.clip_by_global_norm(config.clip_norm))
    steps += rates_of_parts(config)
    return optax.chain(*steps) if len(steps) > 1 else steps[0]


def rates_of_parts(config: TrainConfig) -> list[optax.GradientTransformation]:
    """Return what follows an optimizer so that parts of the ViT have the rates of their own that are configured.

    An update of AdamW or SGD, decay included, is proportional to the rate.
    """
    rates = {"head": config.head_learning_rate, "embedding": config.embedding_learning_rate}
    return [
        optax.masked(optax.scale(rate / config.learning_rate), functools.partial(_of, part))
        for part, rate in rates.items()
        if rate is not None
    ]


def kernels(params: optax.Params) -> optax.Params:
    """Say of each parameter whether it decays."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _of(part: str, params: optax.Params) -> optax.Params:
    """Say of each parameter whether it is of a part of the ViT."""
    return jax.tree.map_with_path(lambda path, _: path[0].key == part, params)
