"""`dkjax attack`: on a configuration, on a data set, with limits, and what it says when it cannot."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data_sets import write_small
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.errors import DataError, LimitExceededError

CONFIG = """
[data]
source = "digits"
image_size = 16
[keys]
mode = "reproducible"
seed = 0
[scheme]
block_size = 4
[model]
variant = "mu"
[[arms]]
name = "plain"
[[arms]]
name = "fedavg"
[[arms]]
name = "disposable"
"""


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(CONFIG)
    return tmp_path / "small.toml"


def test_limits_and_going_on(config: Path, tmp_path: Path) -> None:
    options = ["--images", 4, "--only", "looking", "--only", "linking", "--workdir", tmp_path / "run"]
    result = run(config, *options, "--json", "--max-link", 0.5)
    assert result.exit_code == LimitExceededError.exit_code == 3
    assert result.stderr.splitlines()[-1] == "dkjax: --max-link 0.5: linking reaches 1.000 on disposable"
    found = json.loads(result.stdout)
    assert list(found["settings"]) == ["disposable"]
    assert found["settings"]["disposable"]["attacks"]["linking"]["scores"]["top1_of_1000"]["mean"] == 1
    seconds = [attack["seconds"] for attack in found["settings"]["disposable"]["attacks"].values()]
    again = run(config, *options, "--json", "--max-ssim", 0.5)
    assert again.exit_code == 0
    kept = json.loads(again.stdout)["settings"]["disposable"]["attacks"].values()
    assert [attack["seconds"] for attack in kept] == seconds


def test_an_encrypted_data_set(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    result = run(tmp_path / "a.dkds", "--images", 2, "--workdir", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no attack applies: looking, median, linking, linking-uploads, known-plaintext" in result.stderr
    assert "puzzle: it needs at least 9 blocks of at least 2 x 2 pixels" in result.stderr


def test_public_images(config: Path, tmp_path: Path) -> None:
    """Another source, brought to the size of the attacked images; a small network learns from it."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "public.npz", image=rng.integers(256, size=(5, 9, 12), dtype=np.uint8), label=np.zeros(5, int))
    options = ["--images", 2, "--only", "inverter", "--only", "looking", "--workdir"]
    without = run(config, *options, tmp_path / "without")
    assert without.exit_code == 0
    assert "inverter         skipped: it needs public images: dkjax attack --public names some" in without.stdout
    result = run(config, *options, tmp_path / "with", "--json", "--public", tmp_path / "public.npz")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["request"]["public"] == str(tmp_path / "public.npz")
    scores = found["settings"]["disposable"]["attacks"]["inverter"]["scores"]
    assert list(scores) == ["ssim_equivariant", "ssim_values", "ssim_sorted"]
    assert all(score["images"] == 2 for score in scores.values())


def test_public_images_that_are_not_there(config: Path, tmp_path: Path) -> None:
    result = run(config, "--public", tmp_path / "nowhere.npz", "--workdir", tmp_path / "run")
    assert result.exit_code == DataError.exit_code == 4
    assert "nowhere.npz" in result.stderr.splitlines()[-1]


def test_public_images_that_are_attacked(config: Path, tmp_path: Path) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.savez(tmp_path / "same.npz", image=image.repeat(2, axis=0), label=np.zeros(2, int))
    same = ["--set", f"data.source={tmp_path / 'same.npz'}", "--set", "data.test_fraction=0.5"]
    result = run(config, *same, "--public", tmp_path / "same.npz", "--workdir", tmp_path / "b")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith("same.npz: all of its images are attacked; name others")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--public", "digit"], "unknown source 'digit'"),
        (["--budget", "soon"], "--budget soon: expected a time above 0, such as 90s, 10m or 1h"),
        (["--budget", "0m"], "--budget 0m: expected a time above 0"),
        (["--only", "linkin"], "there is no attack 'linkin': did you mean 'linking'?"),
        (["--only", "looking", "--images", "2", "--max-link", "1"], "--max-link: no attack that was tried measures it"),
        (["--set", "arms=[{name='plain'}]"], "no arm encrypts: add one that does"),
    ],
)
def test_usage(config: Path, tmp_path: Path, options: list[str], words: str) -> None:
    result = run(config, *options, "--workdir", tmp_path / "run")
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]
