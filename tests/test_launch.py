"""The launch scripts, run with stand-ins for the programs of a cluster."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def stand_ins(tmp_path):
    """A folder at the head of PATH, and a function that puts a stand-in for a program there."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def add(name, script):
        (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (folder / name).chmod(0o755)

    add.env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return add


@pytest.mark.parametrize("script", sorted((ROOT / "launch").iterdir()), ids=lambda path: path.name)
def test_without_a_configuration_says_how_to_call(script):
    done = subprocess.run(["bash", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_slurm_passes_arguments_and_exit_code_on(stand_ins, tmp_path):
    stand_ins("dkjax", f'echo "$@" > {tmp_path}/arguments; exit 4')
    done = subprocess.run(["bash", ROOT / "launch/slurm.sbatch", "a.toml", "--set", "b=c d"], env=stand_ins.env)
    assert done.returncode == 4
    assert (tmp_path / "arguments").read_text() == "simulate a.toml --set b=c d\n"


def test_slurm_requeues_what_was_stopped(stand_ins, tmp_path):
    # Like dkjax: on SIGTERM it finishes what it has to, and exits with 75.
    stand_ins("dkjax", f"trap 'sleep 0.3; exit 75' TERM; touch {tmp_path}/running; while :; do sleep 0.05; done")
    stand_ins("scontrol", f'echo "$@" > {tmp_path}/requeued')
    env = {**stand_ins.env, "SLURM_JOB_ID": "17"}
    with subprocess.Popen(["bash", ROOT / "launch/slurm.sbatch", "a.toml"], env=env) as job:
        until = time.monotonic() + 20
        while not (tmp_path / "running").exists() and time.monotonic() < until:
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=20) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"


def test_tpu_vm_runs_what_is_installed(stand_ins, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    installed = tmp_path / ".venv/bin/dkjax"
    installed.write_text('#!/usr/bin/env bash\necho "$@"\n')
    installed.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "launch/tpu_vm.sh", "a.toml"], cwd=tmp_path, capture_output=True, text=True, env=stand_ins.env
    )
    assert done.stdout == "simulate a.toml\n"
