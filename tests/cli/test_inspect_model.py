"""`dkjax inspect MODEL`: what a model was made from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import pytest
from typer.testing import CliRunner

import dkjax
from dkjax.cli.main import app
from dkjax.models.vit import vit
from dkjax.runtime.files import read_json, write_json
from dkjax.train.trained_model import Trained, save_trained

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8)
DATA_SETS = (
    {
        "client": "plant-a",
        "id": "0" * 32,
        "sha256": "ab" * 32,
        "records": 719,
        "keys": "disposable",
        "key_sharing": "per_image",
        "scheme": "disposable",
        "parameters": {"block_size": 4, "fixed_blocks": 1},
    },
    {"client": "plant-b", "sha256": "cd" * 32, "records": 1},
)


def run(*arguments: object):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    params = MODEL.init(jax.random.key(1), (8, 12, 3))
    save_trained(folder, Trained(MODEL, params, (8, 12, 3), ("a", "b", "ç"), DATA_SETS))
    write_json(folder / "results.json", {"test_accuracy": {"photos": 0.5}})
    return folder


def test_for_people(folder: Path) -> None:
    result = run(folder)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{folder}: a trained model"
    for line in (
        "  images     8 x 12 pixels, 3 channels",
        "  classes    a, b, ç",
        "  accuracy   photos 50.0%",
        f"  plant-a: 719 images, disposable (block_size 4, fixed_blocks 1), disposable keys, sha256 {'ab' * 32}",
        f"  plant-b: 1 image, sha256 {'cd' * 32}",
    ):
        assert line in lines
    (code,) = (line for line in lines if line.startswith("  code"))
    assert f"dkjax {dkjax.__version__}, source " in code


def test_as_json(folder: Path) -> None:
    summary = json.loads(run(folder, "--json").stdout)
    assert summary["data_sets"] == list(DATA_SETS)
    assert summary["code"]["dkjax"] == dkjax.__version__
    assert summary["model"] == json.loads(json.dumps(dataclasses.asdict(MODEL)))
    assert summary["test_accuracy"] == {"photos": 0.5}


def test_a_model_of_an_earlier_version(folder: Path, tmp_path: Path) -> None:
    described = read_json(folder / "model.json")
    assert described is not None
    del described["provenance"]
    write_json(tmp_path / "model.json", described)
    result = run(tmp_path)
    assert (result.exit_code, "made from: not known" in result.stdout) == (0, True)


@pytest.mark.parametrize("described", [{}, {"model": 3}, {"model": {}, "provenance": {"data_sets": 3}}])
def test_not_written_by_us(described: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "model.json", described)
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "describes no model: it was not written by this version of dkjax train" in result.stderr


def test_damaged(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"model": {}}')
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "model.json is damaged, or of another version of dkjax: copy it again" in result.stderr
