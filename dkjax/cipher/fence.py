"""Keeping the steps of a kernel apart in a program compiled for CPU.

XLA for CPU fuses a gather into whatever reads from it, and does it again for every value that is read; of 64 images of
224 px the two gathers of an encryption then take 12 ms instead of 4. It drops optimization barriers before it fuses; a
call that it may not inline is a fence it respects. What stands behind a fence should be one step without a reshape at
its edges: a reshape that is fused into the step makes every value compute its place by divisions.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def fenced(step: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return the step as a call that XLA may not inline; under `vmap` it is one call for the whole batch."""
    apart = jax.jit(step)

    def call(*arrays: Any) -> jax.Array:
        with set_xla_metadata(inlineable="false"):
            return apart(*arrays)

    return call


def apart_on_cpu(step: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return the step fenced where the program is compiled for CPU, and as it is elsewhere."""

    def call(*arrays: Any) -> jax.Array:
        return jax.lax.platform_dependent(*arrays, cpu=fenced(step), default=step)

    return call
