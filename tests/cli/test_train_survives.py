"""`dkjax train` killed at random and stopped in every phase: the same command ends with the same bits."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from made_data_sets import digits, encrypted

from dkjax.train.metrics import MEASURED
from dkjax.train.trained_model import load_trained

pytestmark = pytest.mark.slow

CONFIG = """
[data]
test_images = 300
[model]
variant = "mu"
dropout = 0.1
[train]
epochs = 60
batch_size = 16
evaluations = 6
log_every = 7
checkpoint_every = 20
"""
STEPS = 60 * 160 // 16

PROGRAM = """
import os, signal, sys
from dkjax.train import checkpoints, run, step

def signalled_once(holder, name, skip=0):
    # The signal comes while `name` is at work, at its call number `skip`, counted from 0.
    original, calls = getattr(holder, name), iter(range(10**9))
    def instead(*arguments, **named):
        if next(calls) == skip:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **named)
    setattr(holder, name, instead)

match sys.argv.pop(1):
    case "compile":
        signalled_once(step, "normalise")  # called while the training step is traced
    case "evaluation":
        signalled_once(run, "evaluate", 2)
    case "save":
        signalled_once(checkpoints, "_checksums", 1)  # in the thread that writes a checkpoint
    case "restore and compile":
        signalled_once(checkpoints.Checkpoints, "newest")
    case "train":
        signalled_once(checkpoints.Checkpoints, "after_step", 47)
from dkjax.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "run.toml").write_text(CONFIG)
    encrypted(folder / "a.dkds", digits(100))
    encrypted(folder / "b.dkds", digits(60))
    return folder


def begin(folder: Path, workdir: Path, signalled: str = "never") -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, signalled, "train", "run.toml", "--data", "a.dkds", "b.dkds"]
    command += ["--test", "digits", "--workdir", str(workdir), "--json"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(workdir: Path) -> dict[str, Any]:
    """All that a training leaves for good, speeds and seconds aside."""
    results = json.loads((workdir / "results.json").read_text())
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    leaves = jax.tree.leaves_with_path(load_trained(workdir).params)
    return {
        "results": {name: value for name, value in results.items() if name != "seconds"},
        "metrics": [{name: value for name, value in line.items() if name not in MEASURED} for line in lines],
        "params": {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves},
    }


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> tuple[dict[str, Any], float]:
    """How a training ends that nothing happens to, and how many seconds it takes."""
    started = time.perf_counter()
    with begin(folder, folder / "uninterrupted") as child:
        _, errors = child.communicate()
    assert child.returncode == 0, errors
    return ended(folder / "uninterrupted"), time.perf_counter() - started


def test_killed_at_twenty_random_points(
    folder: Path, uninterrupted: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    expected, seconds = uninterrupted
    draw = random.Random(0)
    kills, finished, went_on = 0, 0, set()
    while kills < 20 or not finished:
        with begin(folder, tmp_path / "run") as child:
            try:
                child.wait(draw.uniform(0, seconds) if kills < 20 else None)
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
            _, errors = child.communicate()
        assert "warning" not in errors
        went_on |= set(re.findall(r"going on after step (\d+)", errors))
        if child.returncode != -signal.SIGKILL:
            assert child.returncode == 0, errors
            assert ended(tmp_path / "run") == expected
            shutil.rmtree(tmp_path / "run")
            finished += 1
    assert len(went_on) >= 5, went_on  # the kills came at many different points
    print(f"{kills} kills, {finished} trainings finished, gone on after steps {sorted(map(int, went_on))}")


@pytest.mark.parametrize("phase", ["train", "evaluation", "compile", "save", "restore and compile"])
def test_stopped_in_every_phase(
    phase: str, folder: Path, uninterrupted: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with begin(folder, workdir, phase) as child:
        _, errors = child.communicate()
    assert child.returncode == 75, errors
    stopped = re.fullmatch(
        r"dkjax: stopped after step (\d+), which is kept; the same command goes on from there", errors.splitlines()[-1]
    )
    assert stopped, errors
    with begin(folder, workdir) as child:
        _, errors = child.communicate()
    assert child.returncode == 0, errors
    assert f"going on after step {stopped[1]} of {STEPS}" in errors
    assert ended(workdir) == uninterrupted[0]
    print(phase, "stopped after", stopped[1])


def test_a_disk_that_is_full(folder: Path, uninterrupted: tuple[dict[str, Any], float], tmp_path: Path) -> None:
    """On a file system of a few megabytes, in a mount namespace of the test's own."""
    (tmp_path / "disk").mkdir()
    small = tmp_path / "run.sh"
    small.write_text(
        f"""
mount -t tmpfs -o size=3m tmpfs {tmp_path / "disk"} || exit 99
"$@"; echo "code $?" >&2
mount -o remount,size=100m {tmp_path / "disk"}
"$@"; echo "code $?" >&2
cp -r {tmp_path / "disk" / "run"} {tmp_path}
"""
    )
    command = [sys.executable, "-c", PROGRAM, "never", "train", "run.toml", "--data", "a.dkds", "b.dkds"]
    command += ["--test", "digits", "--workdir", str(tmp_path / "disk" / "run"), "--json"]
    kept = ["--set", "train.keep_checkpoints=100"]
    ran = subprocess.run(
        ["unshare", "-rm", "sh", str(small), *command, *kept],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        pytest.skip(f"this system does not let the test mount a small disk: {ran.stderr.strip()}")
    first, _, second = ran.stderr.partition("code 75")
    assert first.splitlines()[-1].startswith("dkjax: the disk is full; what was finished is kept: make room")
    assert "Traceback" not in first
    assert "going on after step" in second and "code 0" in second
    expected = uninterrupted[0]
    found = ended(tmp_path / "run")
    assert (found["params"], found["metrics"]) == (expected["params"], expected["metrics"])
