"""`dkjax train` and `dkjax evaluate`: what they print where, what they refuse, and that a stop loses nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_data_sets import arrays, digits, encrypted
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.runtime.files import read_json

CONFIG = """
[data]
source = "digits"
image_size = 8
test_images = 20

[clients]
count = 7

[keys]
mode = "reproducible"
seed = 0

[scheme]
block_size = 4

[model]
variant = "mu"
width = 8
heads = 1
mlp_dim = 8

[train]
epochs = 2
batch_size = 8
evaluations = 1

[store]
shard_images = 9

[[arms]]
name = "plain"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two data sets, and one to test on."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "all.toml").write_text(CONFIG)
    encrypted(folder / "a.dkds", digits(20))
    encrypted(folder / "b.dkds", digits(12))
    encrypted(folder / "fresh.dkds", digits(11, split="test"))
    handler = signal.getsignal(signal.SIGTERM)
    yield folder
    signal.signal(signal.SIGTERM, handler)


def run_in(folder: Path, *arguments: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(app, list(arguments))


TRAIN = ("train", "all.toml", "--data", "a.dkds", "b.dkds", "--workdir", "run", "--test", "digits", "fresh.dkds")


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Any]:
    """A training with --json, the same command without, and tests of the model."""
    return {
        "folder": folder,
        "json": run_in(folder, *TRAIN, "--json"),
        "table": run_in(folder, *TRAIN),
        "evaluate": run_in(folder, "evaluate", "run"),
        "evaluate json": run_in(folder, "evaluate", "run", "--json", "--data", "a.dkds", "b.dkds"),
    }


def test_json_is_one_object(ran: dict) -> None:
    for name in ("json", "evaluate json"):
        result = ran[name]
        assert (result.exit_code, result.exception) == (0, None), result.stderr
        assert result.stdout.count("\n") == 1
    assert json.loads(ran["json"].stdout) == read_json(ran["folder"] / "run" / "results.json")
    measured = json.loads(ran["evaluate json"].stdout)
    assert [(one["name"], one["images"]) for one in measured["test_sets"]] == [("a.dkds", 20), ("b.dkds", 12)]


def test_talk_goes_to_stderr(ran: dict) -> None:
    told = ran["json"].stderr.splitlines()
    assert told[0] == "reading digits"
    assert told[1].startswith("note: keys of a, b are reproducible")
    assert told[2].startswith("training: ")
    assert "% on digits, " in told[2]
    assert told[3:] == ["written: run/results.json, run/model.json, run/params"]
    assert ran["table"].stderr.splitlines()[0] == "training: finished before, kept"


def test_tables(ran: dict) -> None:
    result = ran["table"]
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith("32 images of 2 clients, 8 x 8 x 1; 8 steps in ")
    assert "a 20 0.0 disposable block_size=4 fixed_blocks=0 fixed_pixels=0, reproducible keys" in lines
    accuracy = json.loads(ran["json"].stdout)["test_accuracy"]
    assert f"digits 20 {accuracy['digits']:.1%}" in lines
    assert f"fresh.dkds 11 {accuracy['fresh.dkds']:.1%}" in lines
    tested = [" ".join(line.split()) for line in ran["evaluate"].stdout.splitlines()]
    assert f"fresh.dkds: {accuracy['fresh.dkds']:.1%} of 11 images" in tested
    assert sum(line.split()[:1] == ["9"] for line in tested) == 2


def damaged(folder: Path, at: Path) -> None:
    shutil.copytree(folder / "b.dkds", at / "bad.dkds")
    shard = at / "bad.dkds" / "shard-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-50] ^= 4
    shard.write_bytes(content)


BAD_INPUTS: dict[str, tuple[list[str], int, str]] = {
    "absent": (["--data", "none.dkds"], 4, "there is no encrypted data set none.dkds"),
    "no data set": (["--data", "all.toml"], 4, "there is no encrypted data set all.toml"),
    "an empty glob": (["--data", "*.none"], 4, "there is no encrypted data set *.none"),
    "plain photographs": (
        ["--data", "photos"],
        4,
        "photos is no encrypted data set: dkjax encrypt photos --out NAME.dkds makes one of plain images",
    ),
    "twice": (["--data", "a.dkds", "./a.dkds"], 4, "are the same data set: give it once"),
    "damaged": (["--data", "a.dkds", "bad.dkds"], 4, "bad.dkds/shard-00001.safetensors"),
    "other classes": (["--data", "a.dkds", "cats.dkds"], 4, "calls class 0 'cat', but"),
    "unknown key": (["--data", "a.dkds", "--set", "train.epoch=3"], 2, "did you mean 'epochs'?"),
    "wrong weights": (
        ["--data", "a.dkds", "--set", "train.client_weights={b = 1}"],
        2,
        "train.client_weights: there is no client 'b'",
    ),
    "unknown test": (["--data", "a.dkds", "--test", "digit"], 2, "unknown source 'digit'"),
    "absent test": (["--data", "a.dkds", "--test", "./none"], 4, "no file or folder ./none"),
    "batch and devices": (
        ["--data", "a.dkds", "--set", "train.batch_size=6"],
        2,
        "train.batch_size=6 cannot be divided among 4 devices",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_one_line(name: str, folder: Path, tmp_path: Path) -> None:
    arguments, exit_code, text = BAD_INPUTS[name]
    for known in ("a.dkds", "all.toml"):
        (tmp_path / known).symlink_to(folder / known)
    damaged(folder, tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    encrypted(tmp_path / "cats.dkds", arrays(4, ("cat", "dog")))
    result = run_in(tmp_path, "train", "all.toml", "--workdir", "run", *arguments, "--json")
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    (error,) = result.stderr.splitlines()
    assert error.startswith("dkjax: ")
    assert text in error
    assert not (tmp_path / "run").exists()


def test_evaluate_without_a_model(tmp_path: Path) -> None:
    result = run_in(tmp_path, "evaluate", "none", "--json")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == (
        "dkjax: there is no trained model in none: dkjax train puts one there when it has finished\n"
    )


@pytest.mark.parametrize("where", ["sim", "sim/arms/plain", "sim/arms/plain/run-0"])
def test_evaluate_on_a_simulation(where: str, tmp_path: Path) -> None:
    (tmp_path / "sim" / "arms" / "plain" / "run-0").mkdir(parents=True)
    for name in ("results.json", "arms/plain/run-0/result.json", "arms/plain/run-0/model.json"):
        (tmp_path / "sim" / name).write_text("{}")
    result = run_in(tmp_path, "evaluate", where, "--data", "digits")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == (
        f"dkjax: {where} belongs to a simulation, which has tested its models already: results.json in its --workdir "
        "has the accuracies; dkjax predict names the classes of other images\n"
    )


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("--data", "--json", "--test-all", "NAME.dkds", "CONFIG" if command == "train" else "DIR"):
        assert word in result.stdout


def wait_for(process: subprocess.Popen, path: Path) -> None:
    """Wait until a file has something in it."""
    deadline = time.monotonic() + 300
    while not (path.is_file() and path.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_can_be_given_again(number: int, folder: Path, ran: dict, tmp_path: Path) -> None:
    compilations = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    program = "from dkjax.cli.main import main; main()"
    command = [sys.executable, "-c", program, *TRAIN, "--workdir", str(tmp_path / "run"), "--json"]
    command += ["--set", "train.epochs=3000", "--set", "train.log_every=1"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **compilations},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, tmp_path / "run" / "metrics.jsonl")
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (75, ""), err
    last = re.fullmatch(
        r"dkjax: stopped after step (\d+), which is kept; the same command goes on from there", err.splitlines()[-1]
    )
    assert last, err
    assert "Traceback" not in err
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "checkpoints", "config.json", "ledger.jsonl", "metrics.jsonl"}
    assert last[1] in {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    # Another number of epochs is refused; that the same goes on is tested in test_train_survives.py.
    refused = run_in(folder, *TRAIN, "--workdir", str(tmp_path / "run"))
    assert refused.exit_code == 2
    assert "which differs in train.epochs" in refused.stderr
