"""Shipped recipes planned for TPUs, with their compiler; needs `jax[tpu]`, not a TPU."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.main import app

pytestmark = pytest.mark.tpu

ROOT = Path(__file__).parents[2]
V5E, V6E = ("v5e:2x2", "TPU v5 lite", 16), ("v6e:2x2", "TPU v6 lite", 32)


@pytest.fixture(autouse=True)
def compiler() -> None:
    pytest.importorskip("libtpu")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.mark.parametrize(
    ("recipe", "shape", "chip", "share", "seconds", "images_per_second"),
    [
        ("quickstart", "32,32,1", V5E, 0.1, 1e-2, 10_000),
        ("quickstart", "32,32,1", V6E, 0.1, 1e-2, 10_000),
        ("fashion_mnist", "28,28,1", V5E, 0.1, 1e-2, 10_000),
        ("fashion_mnist", "28,28,1", V6E, 0.1, 1e-2, 10_000),
        # Takes minutes to compile, and so stands for cifar10_vit_b16_plain, too, which trains the same network.
        ("cifar10_vit_b16_disposable", "224,224,3", V5E, 0.5, 0.2, 1_000),
        *(
            pytest.param(f"{recipe} depth=2", "224,224,3", chip, 0.5, 0.2, 1_000, marks=pytest.mark.slow)
            for recipe in ("cifar10_vit_b16_disposable", "elpv_vit_s16", "textiles_vit_s16")
            for chip in (V5E, V6E)
        ),
    ],
)
def test_recipes(
    recipe: str, shape: str, chip: tuple[str, str, int], share: float, seconds: float, images_per_second: int
) -> None:
    topology, kind, memory = chip
    recipe, *changes = recipe.split()
    config = str(ROOT / "configs" / f"{recipe}.toml")
    shorter = [part for change in changes for part in ("--set", f"model.{change}")]
    result = run(config, "--topology", topology, "--image-shape", shape, "--classes", "10", "--json", *shorter)
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    planned = json.loads(result.stdout)
    assert (planned["device_kind"], planned["devices"], planned["memory_bytes"]) == (kind, 4, memory << 30)
    assert 0 < planned["needed_bytes"] < planned["memory_bytes"] * share
    assert 0 < planned["least_seconds"] < seconds
    assert planned["estimated_seconds"] is None or 0 < planned["estimated_seconds"] < seconds
    assert planned["images_per_second"] > images_per_second
    # The gradients, added up over the chips; nothing else travels.
    assert planned["collectives"].keys() == {"all-reduce"}


def planned(*overrides: str, shape: str = "112,112,3") -> Any:
    """A network of the CIFAR-10 recipe, changed, on four chips."""
    config = str(ROOT / "configs" / "cifar10_vit_b16_disposable.toml")
    changed = [part for override in overrides for part in ("--set", override)]
    result = run(config, "--topology", "v5e:2x2", "--image-shape", shape, "--classes", "10", "--json", *changed)
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    return json.loads(result.stdout)


def test_a_divided_state() -> None:
    smaller = ("model.variant=Ti", "model.depth=2")
    whole, divided = planned(*smaller), planned(*smaller, "train.fsdp=4")
    assert divided["argument_bytes"] < 0.5 * whole["argument_bytes"]
    # Parameters are gathered, gradients summed and divided, in rings where the compiler likes; nothing is reshuffled.
    assert divided["collectives"].keys() <= {"all-gather", "all-reduce", "reduce-scatter", "collective-permute"}
    assert divided["collectives"]["all-gather"] >= 1


@pytest.mark.slow
def test_activations_computed_again() -> None:
    kept, again = (planned("model.depth=4", f"model.remat={how}", shape="224,224,3") for how in ("false", "true"))
    assert again["temporary_bytes"] < 0.7 * kept["temporary_bytes"]


def test_sixteen_chips_and_what_does_not_fit() -> None:
    config = str(ROOT / "configs" / "quickstart.toml")
    result = run(config, "--topology", "v5e:4x4", "--set", "train.batch_size=32")
    assert result.stdout.startswith("16 x TPU v5 lite; 32 images of 32 x 32 x 1 a step, 2 a device; ")
    assert " of 16.00 GiB: arguments " in result.stdout
    result = run(config, "--topology", "v5e:2x2", "--set", "train.batch_size=16777216")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "train.batch_size=16777216 does not fit into 4 x TPU v5 lite: choose a smaller batch" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("topology", ["v5e", "v5e:3", "v0:2x2", "v4:2x2x1"])
def test_topologies_that_are_none(topology: str) -> None:
    result = run(str(ROOT / "configs" / "quickstart.toml"), "--topology", topology)
    assert (result.exit_code, result.stdout) == (2, "")
    assert topology in result.stderr and "v5e" in result.stderr
    assert result.stderr.startswith("dkjax: ") and result.stderr.count("\n") == 1
