"""Speed, waiting, utilisation and memory between two reports."""

import time
from typing import Any

import jax
import pytest

from dkjax.models.vit import vit
from dkjax.train import throughput as meters
from dkjax.train.accelerators import CHIPS, Chip, accelerator_of
from dkjax.train.flops import flops_per_image
from dkjax.train.mesh import train_mesh
from dkjax.train.throughput import Throughput

MESH = train_mesh(8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that only goes on when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def goes_on(seconds: float) -> None:
        now[0] += seconds

    return goes_on


def test_speed_and_waiting(clock: Any) -> None:
    meter = Throughput(8, None, MESH)
    for waiting, computing in ((0.5, 0.25), (0.0, 0.25)):
        with meter.waiting():
            clock(waiting)
        clock(computing)
        meter.step_taken()
    read = meter.read()
    assert read["images_per_second"] == pytest.approx(16 / 1.0)
    assert read["input_wait"] == pytest.approx(0.5)
    # Everything begins anew.
    clock(4.0)
    meter.step_taken()
    read = meter.read()
    assert (read["images_per_second"], read["input_wait"]) == (pytest.approx(2.0), 0.0)


def test_utilisation(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Throughput(8, 1e9, MESH)
    clock(2.0)
    meter.step_taken()
    assert meter.read()["model_flops_utilisation"] is None  # nobody knows what a CPU could do
    monkeypatch.setattr(meters, "accelerator_of", lambda device: Chip(1 << 30, 5e9, 1e9))
    clock(2.0)
    meter.step_taken()
    # Four images a second of 1 GFLOP each, on four devices of 5 GFLOP/s.
    assert meter.read()["model_flops_utilisation"] == pytest.approx(4e9 / 20e9)
    unknown = Throughput(8, None, MESH)
    clock(1.0)
    unknown.step_taken()
    assert unknown.read()["model_flops_utilisation"] is None


def test_memory() -> None:
    read = Throughput(8, None, MESH).read()
    assert read["device_memory_bytes"] is None  # CPUs do not say
    assert 1 << 27 < read["host_memory_bytes"] < 1 << 37


def test_chips() -> None:
    assert accelerator_of(jax.devices()[0]) is None
    for chip in CHIPS.values():
        assert 1 << 33 < chip.memory_bytes < 1 << 38
        # A chip multiplies faster than it reads: between a hundred and a thousand operations a byte.
        assert 100 < chip.flops / chip.bandwidth < 1000


def test_operations_of_an_image() -> None:
    """Against the products counted by hand: two for a multiplication and addition, three times for learning."""
    model = vit("mu", patch_size=4, num_classes=7, width=64, depth=3, mlp_dim=256, heads=2)
    tokens, width = 17, 64
    block = tokens * (4 * width * width + 2 * width * 256) + 2 * tokens * tokens * width
    # In the last block, the class token alone asks and goes through the MLP.
    last = 2 * tokens * width * width + 2 * width * width + 2 * width * 256 + 2 * tokens * width
    forward = 2 * (16 * 48 * width + 2 * block + last + width * 7)
    counted = flops_per_image(model, (16, 16, 3))
    assert 3 * forward < counted < 3 * forward * 1.2
    # What is done twice to save memory does not count as more.
    assert flops_per_image(vit("mu", patch_size=4, num_classes=7, remat=True), (16, 16, 3)) == flops_per_image(
        vit("mu", patch_size=4, num_classes=7), (16, 16, 3)
    )
