"""`dkjax simulate`: what it prints where, what it writes, and that a stopped run goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.runtime.files import read_json

CONFIG = """
[data]
source = "digits"
image_size = 16
train_images = 48
test_images = 20

[clients]
count = 2

[keys]
mode = "reproducible"
seed = 0

[scheme]
block_size = 8
fixed_blocks = "50%"

[model]
variant = "mu"
width = 8
heads = 1
mlp_dim = 8

[train]
epochs = 2
batch_size = 8
evaluations = 1

[[arms]]
name = "plain"

[[arms]]
name = "disposable"
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One simulation with --json, and the same command again without, which finds everything finished."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.toml").write_text(CONFIG)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = CliRunner().invoke(app, ["simulate", "small.toml", "--json"])
        second = CliRunner().invoke(app, ["simulate", "small.toml"])
    yield {"folder": folder, "json": first, "table": second}
    signal.signal(signal.SIGTERM, handler)


def test_json_is_one_object(ran: dict) -> None:
    result = ran["json"]
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == read_json(ran["folder"] / "runs/small/results.json")


def test_talk_goes_to_stderr(ran: dict) -> None:
    told = ran["json"].stderr.splitlines()
    assert told[0] == "reading digits"
    assert told[1].startswith("note: keys are reproducible")
    assert told[2].startswith("plain run 1: ")
    assert told[3].startswith("disposable run 1: ")
    assert "% on fresh-key test images" in told[3]
    assert told[4].startswith("written: runs/small/results.json, runs/small/table.md, ")
    assert len(told) == 5


def test_files(ran: dict) -> None:
    workdir = ran["folder"] / "runs" / "small"
    names = {path.name for path in workdir.iterdir()} - {".lock"}
    assert names == {"arms", "config.json", "figures", "results.json", "table.md"}
    assert {path.name for path in (workdir / "figures").iterdir()} == {"accuracy.png", "what_the_server_sees.png"}
    assert (workdir / "table.md").read_text().count("\n") == 4
    assert sorted(path.name for path in (workdir / "arms").iterdir()) == ["disposable", "plain"]


def test_the_same_command_again_keeps_and_prints_the_table(ran: dict) -> None:
    result = ran["table"]
    assert result.exit_code == 0
    assert "48 training images of 2 clients, 20 test images, 1 run of each arm" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines() if line.startswith((" plain ", " disposable "))] == [
        "plain",
        "disposable",
    ]
    assert "reading" not in result.stdout
    told = result.stderr.splitlines()
    assert told[2:4] == ["plain run 1: finished before, kept", "disposable run 1: finished before, kept"]


def test_another_working_process_is_refused(ran: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from dkjax.config import load_config
    from dkjax.server.workdir import open_workdir

    monkeypatch.chdir(ran["folder"])
    with open_workdir(Path("runs/small"), load_config(Path("small.toml"))):
        result = CliRunner().invoke(app, ["simulate", "small.toml"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("dkjax: another process is working in runs/small")


def wait_for(process: subprocess.Popen, path: Path) -> None:
    """Wait until a file has something in it."""
    deadline = time.monotonic() + 300
    while not (path.is_file() and path.stat().st_size):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.005)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(CONFIG.replace("disposable", "plain-2"))
    compilations = {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    overrides = ("train.epochs=100", "train.log_every=1", "data.test_images=4")
    program = "from dkjax.cli.main import main; main()"
    command = [sys.executable, "-c", program, "simulate", "long.toml", "--json", "--workdir", "run"]
    command += [part for override in overrides for part in ("--set", override)]

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **compilations},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    for number, arm in ((signal.SIGINT, "plain"), (signal.SIGTERM, "plain-2")):
        process = start()
        wait_for(process, tmp_path / "run" / "arms" / arm / "run-0" / "metrics.jsonl")
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (75, ""), err
        assert re.fullmatch(
            r"dkjax: stopped after step \d+, which is kept; the same command goes on from there", err.splitlines()[-1]
        )
        assert "Traceback" not in err
        assert not (tmp_path / "run" / "arms" / arm / "run-0" / "result.json").exists()
        assert not (tmp_path / "run" / "results.json").exists()

    process = start()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "plain run 1: finished before, kept" in err
    assert re.search(r"plain-2 run 1: going on after step \d+ of", err)
    first, second = json.loads(out)["arms"]
    assert (first["name"], second["name"]) == ("plain", "plain-2")
    # Both arms do the same, the second one after a stop in its middle.
    assert first["curves"] == second["curves"]
