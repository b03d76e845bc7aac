"""Whatever is wrong at the command line is said in one line, with an exit code, before a folder is made."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dkjax.cli.errors import for_people
from dkjax.cli.main import app
from dkjax.config import load_config
from dkjax.errors import DataError, NonFiniteLossError
from dkjax.server.workdir import open_workdir

CONFIG = """
[data]
source = "digits"
image_size = 16

[clients]
count = 2

[keys]
mode = "reproducible"
seed = 0

[scheme]
block_size = 8

[model]
variant = "mu"

[train]
batch_size = 8

[[arms]]
name = "plain"

[[arms]]
name = "disposable"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(CONFIG)
    return path


def no_preparation(folder: Path) -> list[str]:
    return []


def set_(*overrides: str) -> Callable[[Path], list[str]]:
    return lambda folder: [part for override in overrides for part in ("--set", override)]


def bad_label(folder: Path) -> list[str]:
    images = np.zeros((8, 16, 16, 1), np.uint8)
    np.savez(folder / "a.npz", image=images, label=np.arange(8), class_names=np.array(["a", "b", "c"]))
    return ["--set", "data.source=a.npz"]


def empty_class(folder: Path) -> list[str]:
    (folder / "photos" / "scratch").mkdir(parents=True)
    return ["--set", "data.source=./photos"]


def another_run(folder: Path) -> list[str]:
    with open_workdir(folder / "run", load_config(folder / "small.toml", ["train.epochs=3"])):
        pass
    return []


BAD_INPUTS: dict[str, tuple[Callable[[Path], list[str]], int, str]] = {
    "unknown key": (set_("train.epoch=3"), 2, "small.toml: unknown key train.epoch; did you mean 'epochs'?"),
    "unknown section": (set_("trian.epochs=3"), 2, "unknown key trian; did you mean 'train'?"),
    "wrong type": (set_("train.epochs=many"), 2, "train.epochs: expected a valid integer, got 'many'"),
    "out of range": (set_("clients.alpha=-1"), 2, "clients.alpha: expected greater than 0, got -1"),
    "no override": (set_("train.epochs"), 2, "--set train.epochs: expected section.key=value"),
    "no such arm": (set_("arms.7.name=plain"), 2, "there is no '7'; there are 2, counted from 0"),
    "arm of no kind": (set_("arms.0.name=plian"), 2, "'plian' must begin with one of plain, disposable"),
    "seed of disposable keys": (set_("keys.mode=disposable"), 2, "a seed makes keys guessable"),
    "unknown prng": (set_("keys.prng=rbg"), 2, "rbg"),
    "unknown variant": (set_("model.variant=Tii"), 2, "did you mean 'Ti'?"),
    "heads": (set_("model.heads=3"), 2, "heads=3 does not divide the model's width=32"),
    "block size": (set_("scheme.block_size=5"), 2, "block_size=5 does not divide"),
    "fixed_blocks": (set_("scheme.fixed_blocks=5"), 2, "fixed_blocks"),
    "fixed_pixels": (set_("arms.1.fixed_pixels=65"), 2, "fixed_pixels"),
    "batch and devices": (set_("train.batch_size=6"), 2, "train.batch_size=6 cannot be divided among 4 devices"),
    "unknown source": (set_("data.source=digit"), 2, "unknown source 'digit'; known are digits"),
    "source is absent": (set_("data.source=./absent"), 4, "no file or folder ./absent"),
    "label outside the classes": (bad_label, 4, "record 3 has label 3, outside 0..2"),
    "empty class": (empty_class, 4, "the class folders scratch are empty; put images in them"),
    "client without images": (set_("data.train_images=20", "clients.count=30"), 4, "use fewer clients"),
    "one class a client": (
        set_("clients.partition=dirichlet", "clients.alpha=1e-6", "clients.count=40"),
        4,
        "without a single image",
    ),
    "another run": (another_run, 2, "run holds another run, which differs in train.epochs: choose another --workdir"),
}


def talk_and_errors(stderr: str) -> tuple[list[str], list[str]]:
    """Part what is said on the way (`reading digits`) from what is wrong."""
    lines = stderr.splitlines()
    errors = [line for line in lines if not line.startswith(("reading ", "skipped ", "note: "))]
    return [line for line in lines if line not in errors], errors


@pytest.mark.parametrize("name", BAD_INPUTS)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_line(name: str, as_json: bool, config: Path) -> None:
    prepare, exit_code, text = BAD_INPUTS[name]
    options = prepare(config.parent)
    before = sorted(config.parent.rglob("*"))
    arguments = ["simulate", "small.toml", "--workdir", "run", *options, *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    _, errors = talk_and_errors(result.stderr)
    assert len(errors) == 1
    assert errors[0].startswith("dkjax: ")
    assert text in errors[0]
    assert "Traceback" not in result.output
    after = [path for path in sorted(config.parent.rglob("*")) if path.name != ".lock"]
    assert after == [path for path in before if path.name != ".lock"]


@pytest.mark.parametrize(
    ("content", "exit_code", "text"),
    [
        (None, 2, "there is no configuration mine.toml; dkjax recipes lists those that come along"),
        ("[data\n", 2, "mine.toml is not TOML"),
        (b"\xff\xfe", 2, "mine.toml is not TOML"),
        ("", 2, "data is missing; arms is missing"),
    ],
)
def test_bad_configuration_files(content: Any, exit_code: int, text: str, config: Path) -> None:
    if content is not None:
        Path("mine.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = CliRunner().invoke(app, ["simulate", "mine.toml"])
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert len(result.stderr.splitlines()) == 1
    assert text in result.stderr
    assert not Path("runs").exists()


def test_a_configuration_that_is_a_folder(config: Path) -> None:
    Path("folder").mkdir()
    result = CliRunner().invoke(app, ["simulate", "folder"])
    assert (result.exit_code, result.stderr) == (2, "dkjax: cannot read folder: Is a directory\n")


@pytest.mark.parametrize("arguments", [["simulate"], ["simulate", "a", "b"], ["simulat"], ["simulate", "a", "--jso"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback(debug: bool, config: Path) -> None:
    program = [sys.executable, "-c", "from dkjax.cli.main import main; main()"]
    command = [*program, *(["--debug"] if debug else []), "simulate", "absent\x1b[2J.toml"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (2, "")
    assert "there is no configuration absent\\x1b[2J.toml" in run.stderr
    assert ("Traceback (most recent call last)" in run.stderr) == debug
    assert "\x1b" not in run.stderr
    assert debug or run.stderr.count("\n") == 1


def raising(error: BaseException) -> typer.Typer:
    """A command line whose only command raises."""
    commands = typer.Typer()

    @commands.callback()
    def common(context: typer.Context, debug: bool = False) -> None:
        context.obj = {"debug": debug}

    @commands.command()
    @for_people
    def fail(context: typer.Context) -> None:
        raise error

    return commands


@pytest.mark.parametrize(
    ("error", "exit_code", "text"),
    [
        (DataError("it is damaged"), 4, "it is damaged"),
        (NonFiniteLossError("step 3"), 1, "step 3"),
        (KeyboardInterrupt(), 75, "stopped; what was finished is kept, and the same command goes on"),
        (OSError(errno.ENOSPC, "no space"), 75, "the disk is full; what was finished is kept"),
        (OSError(errno.EDQUOT, "quota", "a/b"), 75, "the disk is full; what was finished is kept"),
        (PermissionError(errno.EACCES, "no", "a/b"), 1, "a/b: Permission denied"),
    ],
)
def test_exit_codes(error: BaseException, exit_code: int, text: str) -> None:
    result = CliRunner().invoke(raising(error), ["fail"])
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith(f"dkjax: {text}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("nameless")])
def test_bugs_are_not_hidden(error: Exception) -> None:
    assert CliRunner().invoke(raising(error), ["fail"]).exception is error
    data_error = DataError("damaged")
    assert CliRunner().invoke(raising(data_error), ["--debug", "fail"]).exception is data_error


def test_results_that_cannot_be_json_never_reach_stdout(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NonFiniteLossError("training step 3 is nan")

    monkeypatch.setattr("dkjax.experiment.simulation.simulate", fail)
    result = CliRunner().invoke(app, ["simulate", "small.toml", "--json"])
    assert (result.exit_code, result.stdout) == (1, "")
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.stdout)
