"""The bench of a training step: both steps train, one on encrypted images, and the shares follow from the times."""

import json
import statistics
from pathlib import Path

import jax
import numpy as np
import pytest
from with_torchvision import import_torchvision

from dkjax.bench import measure_step, step
from dkjax.bench.timm_step import COMPILED, EAGER, timm_steps
from dkjax.config import TrainConfig
from dkjax.errors import ConfigError
from dkjax.models.pretrained import export_params
from dkjax.models.vit import vit
from dkjax.train.accelerators import Chip
from dkjax.train.flops import flops_per_image
from dkjax.train.mesh import train_mesh
from dkjax.train.optimizer import optimizer
from dkjax.train.state import initial_state
from dkjax.train.step import make_train_step


@pytest.fixture(autouse=True)
def without_timm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.get_closest_marker("torch"):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_result() -> None:
    said = []
    result = measure_step("mu", batches=(2, 4), size=32, rounds=3, say=said.append)
    assert json.loads(json.dumps(result)) == result
    assert said == ["ViT-mu/16, 32 px, 2 images a step", "ViT-mu/16, 32 px, 4 images a step"]
    assert (result["bench"], result["variant"], result["dtype"]) == ("step", "mu/16", "float32")
    assert result["times_timm"] is None
    assert [case["batch"] for case in result["cases"]] == [2, 4]
    for case in result["cases"]:
        plain, longer, alone = case["rows"]
        assert [row["name"] for row in case["rows"]] == ["plain step", "step with encryption", "encryption alone"]
        for row in case["rows"]:
            assert len(row["seconds"]) == 3
            assert row["images_per_second"] == pytest.approx(case["batch"] / row["median_seconds"])
            assert row["of_peak"] is None
        differences = [with_it - without for with_it, without in zip(longer["seconds"], plain["seconds"], strict=True)]
        assert case["share_by_difference"] == pytest.approx(statistics.median(differences) / plain["median_seconds"])
        assert case["share_alone"] == pytest.approx(alone["median_seconds"] / plain["median_seconds"])


def test_share_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "accelerator_of", lambda device: Chip(memory_bytes=1 << 30, flops=1e12, bandwidth=1e9))
    [case] = measure_step("mu", batches=(2,), size=32, rounds=1)["cases"]
    flops = flops_per_image(vit("mu", patch_size=16, num_classes=step.NUM_CLASSES), (32, 32, 3))
    plain, longer, alone = case["rows"]
    for row in (plain, longer):
        assert row["of_peak"] == pytest.approx(row["images_per_second"] * flops / 1e12)
    assert alone["of_peak"] is None


def test_the_fastest_of_each_are_compared() -> None:
    def case(**rates: float) -> dict:
        return {"rows": [{"name": name.replace("_", " "), "images_per_second": rate} for name, rate in rates.items()]}

    cases = [case(plain_step=20.0, timm_step=12.0, timm_step_compiled=16.0), case(plain_step=10.0, timm_step=14.0)]
    assert step._times_timm(cases) == 20 / 16


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_timm_takes_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    import timm.models.vision_transformer as timm_vit
    from safetensors.torch import load_file

    model = vit("mu", patch_size=8, num_classes=5, depth=2)
    rng = np.random.default_rng(0)
    shape = (24, 24, 3)
    params = jax.tree.map(lambda leaf: leaf + 0.05 * rng.normal(size=leaf.shape), model.init(jax.random.key(0), shape))
    weights = export_params(params, model, shape, tmp_path / "timm.safetensors", to="safetensors")

    class Loaded(timm_vit.VisionTransformer):
        def __init__(self, **settings: object) -> None:
            super().__init__(**settings)
            self.load_state_dict(load_file(weights))

    monkeypatch.setattr(timm_vit, "VisionTransformer", Loaded)
    data = {"image": rng.integers(0, 256, (6, *shape), dtype=np.uint8), "label": rng.integers(0, 5, 6)}
    config, mesh = TrainConfig(), train_mesh(6, jax.devices()[:1])
    tx = optimizer(config, total_steps=10)
    _, metrics = make_train_step(model, tx, config, mesh)(initial_state(params, tx, mesh), data, jax.random.key(0))
    steps = timm_steps(model, config, data)
    assert list(steps) == [EAGER, COMPILED]
    for take in steps.values():
        losses = [take(number) for number in range(4)]
        assert losses[0] == pytest.approx(float(metrics["loss"]), rel=1e-4)
        assert losses[3] < losses[2] < losses[1] < losses[0]


@pytest.mark.torch
def test_rows_of_timm() -> None:
    import_torchvision()
    result = measure_step("mu", batches=(2,), size=32, rounds=1)
    assert [row["name"] for row in result["cases"][0]["rows"][3:]] == [EAGER, COMPILED]
    assert result["times_timm"] > 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'Ti'"):
        measure_step("Tii")
    with pytest.raises(ConfigError, match="patch_size=16 does not divide height=40"):
        measure_step("mu", size=40)
