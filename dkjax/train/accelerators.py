"""Published data of accelerators, as a reference for measurements and plans."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """Published data of a chip.

    Attributes:
        memory_bytes: high-bandwidth memory.
        flops: dense bfloat16 operations a second; by default TPUs also multiply float32 matrices in bfloat16.
        bandwidth: bytes of that memory read or written in a second.
    """

    memory_bytes: int
    flops: float
    bandwidth: float


CHIPS: Mapping[str, Chip] = MappingProxyType(
    {
        "TPU v4": Chip(32 << 30, 275e12, 1228e9),
        "TPU v5 lite": Chip(16 << 30, 197e12, 819e9),
        "TPU v5": Chip(95 << 30, 459e12, 2765e9),
        "TPU v6 lite": Chip(32 << 30, 918e12, 1640e9),
        "NVIDIA A100-SXM4-40GB": Chip(40 << 30, 312e12, 1555e9),
        "NVIDIA A100-SXM4-80GB": Chip(80 << 30, 312e12, 2039e9),
        "NVIDIA H100 80GB HBM3": Chip(80 << 30, 989e12, 3350e9),
        "NVIDIA H200": Chip(141 << 30, 989e12, 4800e9),
        "NVIDIA L4": Chip(24 << 30, 121e12, 300e9),
    }
)
"""Accelerators by JAX's name of the device; v5 lite is v5e, v5 is v5p, v6 lite is v6e.

Sources: cloud.google.com/tpu/docs; NVIDIA's data sheets of A100, H100 SXM, H200 SXM and L4, without sparsity.
"""


def accelerator_of(device: jax.Device) -> Chip | None:
    """Return the data of a device; None if it is not listed, as for CPUs."""
    return CHIPS.get(device.device_kind)
