"""`dkjax init`: a file that is not there yet, and nothing else."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.init import First
from dkjax.cli.main import app
from dkjax.config import starter_config
from dkjax.config.starter import First as Firsts


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["init", *arguments])


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_writes_what_python_gives() -> None:
    came = run("--image-size", "32x64", "--channels", "1", "--classes", "good, defect", "--first", "protection")
    assert came.exit_code == 0, came.output
    assert "written: run.toml" in came.output
    text = Path("run.toml").read_text()
    assert text == starter_config((32, 64), channels=1, classes=["good", "defect"], first="protection")
    assert tomllib.loads(text)["data"]["image_size"] == [32, 64]


def test_json() -> None:
    came = run("a.toml", "--block-size", "8", "--json")
    assert json.loads(came.stdout) == {"written": "a.toml", "config": starter_config(224, block_size=8)}
    assert Path("a.toml").read_text() == starter_config(224, block_size=8)


def test_never_overwrites() -> None:
    Path("run.toml").write_text("mine")
    came = run()
    assert (came.exit_code, Path("run.toml").read_text()) == (2, "mine")
    assert "run.toml exists and was left as it is" in came.output
    Path("link.toml").symlink_to("nowhere.toml")
    assert run("link.toml").exit_code == 2
    assert not Path("nowhere.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--image-size", "big"], "--image-size big is no size"),
        (["--image-size", "2x3x4"], "--image-size 2x3x4 is no size"),
        (["--image-size", "100", "--block-size", "16"], "block_size=16 does not divide 100x100; one of 4 does"),
        (["--classes", "a,,b"], "must be names, each of them once"),
        (["no/such/folder.toml"], "there is no folder no/such"),
    ],
)
def test_nothing_is_written_for_bad_arguments(arguments: list[str], text: str) -> None:
    came = run(*arguments)
    assert came.exit_code == 2, came.output
    assert text in " ".join(came.output.split())
    assert "Traceback" not in came.output
    assert list(Path().iterdir()) == []


def test_the_choices_are_those_of_python() -> None:
    assert tuple(First) == Firsts.__args__
