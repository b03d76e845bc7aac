"""`dkjax plan`: for the devices at hand, and what it says when it cannot."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.main import app

SMALL = ("--set", "model.width=8", "--set", "model.depth=1", "--set", "model.heads=1", "--set", "model.mlp_dim=8")
SERVER = """
[model]
variant = "mu"
patch_size = 4

[train]
batch_size = 8
"""


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.fixture
def quickstart(request: pytest.FixtureRequest) -> str:
    return str(request.config.rootpath / "configs" / "quickstart.toml")


def test_shape_and_classes_of_the_source(quickstart: str) -> None:
    result = run(quickstart, *SMALL)
    assert (result.exit_code, result.exception, result.stderr) == (0, None, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("4 x cpu; 64 images of 32 x 32 x 1 a step, 16 a device; 0.00 million parameters")
    assert [line.partition(":")[0] for line in lines[1:5]] == [
        "memory of a device",
        "work of a device",
        "time of a step",
        "collectives",
    ]
    assert lines[3] == "time of a step: no estimate for these devices"
    assert lines[4].endswith("x all-reduce")


def test_json_and_a_shape_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(SERVER)
    result = run(str(tmp_path / "server.toml"), "--image-shape", "8,12,3", "--classes", "5", "--json")
    planned = json.loads(result.stdout)
    assert (planned["topology"], planned["image_shape"], planned["batch_size"]) == (None, [8, 12, 3], 8)
    assert planned["needed_bytes"] > planned["temporary_bytes"] > 0


def test_a_configuration_without_a_source(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(SERVER)
    result = run(str(tmp_path / "server.toml"), "--image-shape", "8,12,3")
    assert (result.exit_code, result.stdout) == (2, "")
    expected = "the configuration names no data.source: give --image-shape H,W,C and --classes N"
    assert result.stderr == f"dkjax: {expected}\n"


@pytest.mark.parametrize("shape", ["8", "8,8", "8x8x3", "0,8,3", "8,8,3,1"])
def test_a_shape_that_is_none(shape: str, quickstart: str) -> None:
    result = run(quickstart, "--image-shape", shape)
    assert (result.exit_code, result.stdout) == (2, "")
    expected = f"--image-shape {shape}: expected height, width and channels, such as 224,224,3"
    assert result.stderr == f"dkjax: {expected}\n"


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="the TPU compiler is installed")
def test_without_the_compiler_for_tpus(quickstart: str) -> None:
    result = run(quickstart, "--topology", "v5e:2x2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("dkjax: programs for TPUs are compiled by libtpu, which is not installed: ")
    assert "[tpu]'" in result.stderr


def test_an_unknown_key(quickstart: str) -> None:
    result = run(quickstart, "--set", "train.batch=3")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'batch_size'?" in result.stderr
