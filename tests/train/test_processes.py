"""Two processes of two devices: the same training as one process of four, written once, stopped and gone on with."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from made_data_sets import digits, encrypted

from dkjax.config import load_config
from dkjax.experiment.simulation import simulate
from dkjax.input.device_put import own_rows
from dkjax.train.mesh import batch_sharding, train_mesh
from dkjax.train.metrics import MEASURED
from dkjax.train.trained_model import load_trained

CONFIG = """
[data]
test_images = 40
[model]
variant = "mu"
dropout = 0.1
[train]
epochs = 3
batch_size = 16
evaluations = 2
log_every = 2
checkpoint_every = 4
learning_rate = 1e-2
"""
STEPS = 3 * 50 // 16
OF_CLUSTERS = ("SLURM_", "OMPI_", "TPU_", "KUBERNETES_", "JAX_", "JOB_COMPLETION_INDEX")


@dataclasses.dataclass(frozen=True)
class Setup:
    """A configuration and data sets to train on."""

    config: Path
    data: tuple[Path, ...]

    def command(self, workdir: Path, *options: str) -> list[str]:
        data = ["--data", *map(str, self.data), "--test", "digits"]
        where = ["--workdir", str(workdir), "--json", *options]
        return [
            sys.executable,
            "-c",
            "from dkjax.cli.main import main; main()",
            "train",
            str(self.config),
            *data,
            *where,
        ]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("setup")
    (folder / "run.toml").write_text(CONFIG)
    data = tuple(
        encrypted(folder / f"{name}.dkds", digits(count), client=name) for name, count in (("one", 30), ("two", 20))
    )
    return Setup(folder / "run.toml", data)


def environment(devices: int, **variables: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(OF_CLUSTERS)}
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return {**own, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), **quick, **variables}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(command: list[str], env: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(*processes: subprocess.Popen) -> list[tuple[int, str, str]]:
    """Wait for all, for they wait for each other; none outlives this."""
    try:
        found = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, *texts) for process, texts in zip(processes, found, strict=True)]


def lines(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same_training(one: Path, other: Path) -> None:
    """The same but for what is measured and the order of float32 sums; another order of records would show at once."""
    for of_one, of_other in zip(lines(one), lines(other), strict=True):
        assert of_one.keys() == of_other.keys()
        for name in of_one.keys() - set(MEASURED) - {"test_accuracy"}:
            assert of_one[name] == pytest.approx(of_other[name], rel=1e-3), name
    params = (load_trained(workdir).params for workdir in (one, other))
    jax.tree.map(lambda *pair: np.testing.assert_allclose(*pair, atol=2e-3), *params)


@pytest.fixture(scope="module")
def alone(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("alone")
    [(code, _, said)] = ended(started(setup.command(workdir), environment(devices=4)))
    assert code == 0, said
    return workdir


def slurm(index: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "17",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


def open_mpi(index: int) -> dict[str, str]:
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(index),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
    }


def started_by(cluster: Callable[[int], dict[str, str]], setup: Setup, workdir: Path) -> list[subprocess.Popen]:
    """Start two processes as a cluster would, on this machine and for nobody outside."""
    port = str(free_port())
    ports = {"JAX_COORDINATOR_PORT": port, "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}"}
    return [started(setup.command(workdir), environment(devices=2, **ports, **cluster(index))) for index in (0, 1)]


def test_started_by_open_mpi(setup: Setup, alone: Path, tmp_path: Path) -> None:
    leader, other = ended(*started_by(open_mpi, setup, tmp_path / "run"))
    assert (leader[0], other[0]) == (0, 0), leader[2] + other[2]
    assert_same_training(tmp_path / "run", alone)
    # One of them prints, and only the results; the other says no more than that it joins.
    assert json.loads(leader[1])["train"]["steps"] == STEPS
    assert other[1] == ""
    assert "reproducible" in leader[2] and "reproducible" not in other[2]


def test_stopped_and_gone_on_with_by_one(setup: Setup, alone: Path, tmp_path: Path) -> None:
    """SIGTERM reaches one of two that SLURM started: both stop after the same step, and one process does the rest."""
    processes = started_by(slurm, setup, tmp_path / "run")
    until = time.monotonic() + 150
    while not list(tmp_path.glob("run/checkpoints/4/checksums.json")) and time.monotonic() < until:
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    said = []
    for code, printed, told in ended(*processes):
        assert (code, printed) == (75, ""), told
        said.append(told.splitlines()[-1])
    assert said[0] == said[1]
    assert said[0].startswith("dkjax: stopped after step ")
    stopped_at = int(said[0].split("step ")[1].split(",")[0])
    assert 4 <= stopped_at < STEPS
    assert max(int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()) == stopped_at
    [(code, _, told)] = ended(started(setup.command(tmp_path / "run"), environment(devices=4)))
    assert code == 0, told
    assert f"going on after step {stopped_at} of {STEPS}" in told
    assert_same_training(tmp_path / "run", alone)


SIMULATION = """
[data]
source = "digits"
image_size = 16
train_images = 48
test_images = 24
[clients]
count = 2
[keys]
mode = "reproducible"
seed = 0
[scheme]
block_size = 8
[store]
on_disk = true
[model]
variant = "mu"
[train]
epochs = 1
batch_size = 8
evaluations = 1
[[arms]]
name = "disposable"
"""


def test_a_simulation(tmp_path: Path) -> None:
    """Both encrypt alike, one writes the data sets, and all train from them."""
    (tmp_path / "run.toml").write_text(SIMULATION)
    told = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2"]
    program = [sys.executable, "-c", "from dkjax.cli.main import main; main()", "simulate", str(tmp_path / "run.toml")]
    command = [*program, "--workdir", str(tmp_path / "run"), "--json", *told]
    processes = [started([*command, "--process-id", str(index)], environment(devices=2)) for index in (0, 1)]
    leader, other = ended(*processes)
    assert (leader[0], other[0], other[1]) == (0, 0, ""), leader[2] + other[2]
    [arm] = json.loads(leader[1])["arms"]
    [alone] = simulate(load_config(tmp_path / "run.toml"), tmp_path / "alone")["arms"]
    for name in ("upload_bytes", "ssim", "key_space_bits", "keys"):
        assert arm[name] == alone[name]
    for name in ("plain", "fresh_key"):
        assert arm["test_accuracy"][name]["mean"] == pytest.approx(alone["test_accuracy"][name]["mean"], abs=2 / 24)
    assert_same_training(tmp_path / "run/arms/disposable/run-0", tmp_path / "alone/arms/disposable/run-0")
    uploads = sorted(path.name for path in (tmp_path / "run/arms/disposable/run-0/uploads").iterdir())
    assert uploads == ["client-1-round-1.dkds", "client-2-round-1.dkds"]
    assert (tmp_path / "run/figures/accuracy.png").exists()


def test_one_mistake_ends_all(setup: Setup, tmp_path: Path) -> None:
    """What one process finds wrong, here that the folder is another's, every process says and none waits for it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.png").write_bytes(b"")
    told = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2")
    leader, other = ended(
        *(
            started(setup.command(tmp_path / "run", *told, "--process-id", str(index)), environment(devices=2))
            for index in (0, 1)
        )
    )
    assert (leader[0], other[0]) == (2, 2)
    assert leader[2].splitlines()[-1].endswith("holds other files: choose another --workdir, or an empty folder")
    assert other[2].splitlines()[-1] == leader[2].splitlines()[-1].replace("dkjax: ", "dkjax: process 0: ")


def test_process_0_does_not_answer(setup: Setup, tmp_path: Path) -> None:
    from dkjax.errors import TransportError
    from dkjax.runtime.join import Place, join

    with pytest.raises(TransportError, match=r"process 0 does not answer at 127\.0\.0\.1:\d+ .*is it running"):
        join(Place(f"127.0.0.1:{free_port()}", 2, 1), {}, wait_seconds=1)


def test_a_process_that_is_missing(setup: Setup, tmp_path: Path) -> None:
    told = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id", "0")
    started_at = time.monotonic()
    process = started(setup.command(tmp_path / "run", *told, "--join-timeout", "2"), environment(devices=1))
    [(code, out, err)] = ended(process)
    assert (code, out) == (5, "")
    waiting, problem = err.splitlines()
    assert waiting.startswith("process 0 of 2: waiting for the others at 127.0.0.1:")
    assert problem == (
        "dkjax: after 2 s not all processes are here: start those that are missing, look into their output, or wait "
        "longer by --join-timeout"
    )
    assert time.monotonic() - started_at < 60
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fsdp", [1, 2, 4])
@pytest.mark.parametrize("held", [[0], [1, 2], [3, 0], [0, 1, 2, 3]])
def test_each_process_reads_the_rows_of_its_devices(
    held: list[int], fsdp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if some of the devices were this process's: their rows in order, and all rows between all devices."""
    sharding = batch_sharding(train_mesh(8, fsdp=fsdp))
    everything = sharding.addressable_devices_indices_map((8,))
    devices = jax.devices()
    kept = {device: index for device, index in everything.items() if devices.index(device) in held}
    monkeypatch.setattr(type(sharding), "addressable_devices_indices_map", lambda *_: kept)
    rows = own_rows(8, sharding)
    assert rows.tolist() == sorted(2 * number + offset for number in held for offset in (0, 1))
