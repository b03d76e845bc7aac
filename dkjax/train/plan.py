"""Memory, operations and communication of a training step, from compiling it, also for devices that are absent.

The program is that of `dkjax.train.loop.make_trainer`, for the shapes of one batch. No image and no parameter is
computed.
"""

import collections
import contextlib
import dataclasses
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from dkjax.config import TrainConfig
from dkjax.errors import ConfigError, MissingPackageError
from dkjax.models.vit import Model
from dkjax.runtime.install import how_to_install
from dkjax.train.accelerators import accelerator_of
from dkjax.train.loop import make_trainer
from dkjax.train.mesh import batch_sharding, replicated

_COLLECTIVE = re.compile(r" (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")
_QUIET = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Requirements of one training step; numbers are for one device unless stated otherwise.

    Attributes:
        device_kind: JAX's name of the devices.
        devices: their number.
        batch_size: images of a step, over all devices.
        image_shape: `(H, W, C)` of one image.
        parameters: of the network.
        argument_bytes: the training state, a batch's share and the dropout key.
        temporary_bytes: activations and other temporaries of a step.
        output_bytes: results that do not reuse donated arguments.
        program_bytes: the machine code.
        memory_bytes: memory of the device; None where it is unknown.
        flops: floating point operations. The compiler counts the loop of `train.accumulate` once; here the count is
            multiplied by its iterations, which includes the optimizer, a small part.
        accessed_bytes: bytes read and written, likewise.
        least_seconds: lower bound of a step, by the chip's arithmetic and memory bandwidth; None for devices that are
            not in `dkjax.train.accelerators.CHIPS`.
        estimated_seconds: the compiler's own estimate of a step; None where it makes none. Neither number includes the
            host or waiting for the network.
        collectives: number of each kind of communication between devices in the program.
        compile_seconds: time of the compilation on this machine.
    """

    device_kind: str
    devices: int
    batch_size: int
    image_shape: tuple[int, int, int]
    parameters: int
    argument_bytes: int
    temporary_bytes: int
    output_bytes: int
    program_bytes: int
    memory_bytes: int | None
    flops: float
    accessed_bytes: float
    least_seconds: float | None
    estimated_seconds: float | None
    collectives: dict[str, int]
    compile_seconds: float

    @property
    def needed_bytes(self) -> int:
        """Memory in use while a step runs; the next batch, already in transfer, is not counted."""
        return self.argument_bytes + self.temporary_bytes + self.output_bytes + self.program_bytes

    @property
    def images_per_second(self) -> float | None:
        """Over all devices, by the compiler's estimate or, without one, at best."""
        seconds = self.estimated_seconds or self.least_seconds
        return self.batch_size / seconds if seconds else None


def plan_training(
    config: TrainConfig,
    model: Model,
    image_shape: tuple[int, int, int],
    devices: Sequence[jax.Device] | None = None,
) -> Plan:
    """Compile the training step and return its requirements.

    Args:
        config: batch size, optimizer.
        model: the network.
        image_shape: `(H, W, C)` of one image.
        devices: to compile for, such as those of `topology_devices`; by default all.

    Returns:
        The plan.

    Raises:
        ConfigError: the patch size does not divide the image, the devices do not divide the batch, or the compiler
            found that the step does not fit into their memory.

    Guarantees:
        - the program is the one that training runs (`test_plan.py::test_is_the_program_that_trains`).
        - nothing is computed (`test_plan.py::test_nothing_is_computed`).
        - JAX's persistent compilation cache is neither read nor written
          (`test_plan.py::test_leaves_the_compilation_cache_alone`).
    """
    trainer = make_trainer(config, model, config.batch_size, devices)
    found = list(trainer.mesh.devices.flat)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(lambda key: model.init(key, image_shape), key)
    state = trainer.state_like(params)
    sharding = batch_sharding(trainer.mesh)
    batch = {
        "image": jax.ShapeDtypeStruct((config.batch_size, *image_shape), jnp.uint8, sharding=sharding),
        "label": jax.ShapeDtypeStruct((config.batch_size,), jnp.int32, sharding=sharding),
    }
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(trainer.mesh))
    started = time.perf_counter()
    try:
        with _without_the_compilation_cache():
            compiled = trainer.train_step.lower(state, batch, key).compile()  # type: ignore[attr-defined]
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found_out = str(error).splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ").rstrip(".")
        raise ConfigError(
            f"a step of train.batch_size={config.batch_size} does not fit into {len(found)} x {found[0].device_kind}: "
            "choose a smaller batch, more devices, model.dtype=bfloat16, model.remat, train.accumulate or train.fsdp "
            f"(compiler: {found_out})"
        ) from None
    seconds = time.perf_counter() - started
    memory: Any = compiled.memory_analysis()
    costs: Any = compiled.cost_analysis()
    chip = accelerator_of(found[0])
    flops, accessed = costs["flops"] * config.accumulate, costs["bytes accessed"] * config.accumulate
    estimated = costs.get("optimal_seconds", 0) * config.accumulate
    return Plan(
        device_kind=found[0].device_kind,
        devices=len(found),
        batch_size=config.batch_size,
        image_shape=image_shape,
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)),
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        output_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        program_bytes=memory.generated_code_size_in_bytes,
        memory_bytes=chip.memory_bytes if chip else _memory(found[0]),
        flops=flops,
        accessed_bytes=accessed,
        least_seconds=max(flops / chip.flops, accessed / chip.bandwidth) if chip else None,
        # The sum is negative, and meaningless, where the compiler has no estimate for some of the operations.
        estimated_seconds=estimated if estimated > 0 else None,
        collectives=collectives_of(compiled),
        compile_seconds=seconds,
    )


@contextlib.contextmanager
def _without_the_compilation_cache() -> Iterator[None]:
    """Compile anew: JAX writes a program for absent devices into its persistent cache, and warns when it reads it."""
    enabled = jax.config.values["jax_enable_compilation_cache"]
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()  # JAX asks for the setting once
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        compilation_cache.reset_cache()


def collectives_of(compiled: Any) -> dict[str, int]:
    """Count each kind of communication between devices in a compiled program."""
    return dict(collections.Counter(_COLLECTIVE.findall(compiled.as_text() or "")))


def topology_devices(topology: str) -> list[jax.Device]:
    """Return devices of a TPU topology to compile for, which need not be present.

    Args:
        topology: a generation and the chips along each axis, such as `v5e:4x4`, `v6e:2x2` or `v5p:2x2x1`.

    Returns:
        The devices; they cannot run anything.

    Raises:
        ConfigError: there is no such topology.
        MissingPackageError: the TPU compiler is not installed.
    """
    from jax.experimental import topologies

    # Unless all of this is set, the compiler queries Google's metadata server, and waits.
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(added)
    try:
        devices: list[Any] = list(topologies.get_topology_desc(topology, "tpu").devices)
    except RuntimeError as error:
        if "TPU support not installed" in str(error):
            raise MissingPackageError(
                f"programs for TPUs are compiled by libtpu, which is not installed: {how_to_install('tpu')}"
            ) from None
        raise ConfigError(
            f"there is no TPU topology {topology!r}: expected a generation and the chips along each axis, such as "
            f"v5e:4x4, v6e:2x4 or v5p:2x2x1 ({str(error).splitlines()[0]})"
        ) from None
    finally:
        for name in added:
            del os.environ[name]
    if any(device.core_on_chip for device in devices):
        # JAX lays meshes of chips alone out over TPUs that have two cores on a chip; here it names the cores.
        raise ConfigError(f"no plan can be made for {topology}: a device is half a chip there; try v5e, v5p or v6e")
    return devices


def _memory(device: jax.Device) -> int | None:
    """Memory of a local device; CPUs do not report it."""
    return (device.memory_stats() or {}).get("bytes_limit") if device.platform == "gpu" else None
