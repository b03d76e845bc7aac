"""AdamW with warm-up and cosine decay, the usual optimizer of ViTs."""

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
    """Return AdamW with clipping by global norm; only kernels decay, not biases, scales or embeddings."""
    adamw = optax.adamw(schedule(config, total_steps), weight_decay=config.weight_decay, mask=kernels)
    if config.clip_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)


def kernels(params: optax.Params) -> optax.Params:
    """Say of each parameter whether it decays."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)
