"""Speed of training, and time spent waiting for input."""

import contextlib
import resource
import time
from collections.abc import Iterator
from typing import Any

from jax.sharding import Mesh

from dkjax.train.accelerators import accelerator_of


class Throughput:
    """Measures the time between two reports.

    Args:
        batch_size: images of a step.
        flops_per_image: as `dkjax.train.loop.Trainer` has it.
        mesh: the devices.
    """

    def __init__(self, batch_size: int, flops_per_image: float | None, mesh: Mesh) -> None:
        self._batch_size = batch_size
        self._flops_per_image = flops_per_image
        self._mesh = mesh
        self._start()

    def _start(self) -> None:
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting for input."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def step_taken(self) -> None:
        """Count a step."""
        self._steps += 1

    def read(self) -> dict[str, Any]:
        """Return the measurements since the last call, by the names of `dkjax.train.metrics.Progress`."""
        seconds = time.perf_counter() - self._since
        images_per_second = self._steps * self._batch_size / seconds
        measured = {
            "images_per_second": images_per_second,
            "input_wait": self._waited / seconds,
            "model_flops_utilisation": self._utilisation(images_per_second),
            "device_memory_bytes": self._device_memory(),
            "host_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        self._start()
        return measured

    def _utilisation(self, images_per_second: float) -> float | None:
        chip = accelerator_of(self._mesh.devices.flat[0])
        if chip is None or self._flops_per_image is None:
            return None
        return images_per_second * self._flops_per_image / (chip.flops * self._mesh.devices.size)

    def _device_memory(self) -> int | None:
        stats = [device.memory_stats() or {} for device in self._mesh.local_devices]
        return max((one["peak_bytes_in_use"] for one in stats if "peak_bytes_in_use" in one), default=None)
