"""The bench of federated learning: its contenders compute the same, and what is measured of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import federated
import federated_rounds
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import script
from process_tree import ProcessTree, peak_bytes
from typer.testing import CliRunner

from dkjax.bench.table import print_tables

RNG = np.random.default_rng(0)

TINY = ["--network", "mlp", "--network", "idle", "--clients", "4", "--chosen", "2", "--images", "10"]


def test_both_ways_compute_the_same() -> None:
    """One step on all images of every client, so that neither order nor choice of clients matters."""
    records = {
        "image": RNG.integers(0, 256, (12, 28, 28, 1), np.uint8),
        "label": RNG.integers(0, 10, 12, np.int32),
    }
    task = {"network": "mlp", "clients": 3, "chosen": 3, "images": 4, "batch": 5, "rounds": 2, "rate": 0.5}
    task |= {"idle": False, "contender": "in_turn"}
    ours, plain = list(federated_rounds.by_dkjax(task, records))[-1], list(federated_rounds.by_loop(task, records))[-1]
    start, _ = federated_rounds.network("mlp", jax.random.key(0))
    for one, other, before in zip(*map(jax.tree.leaves, (ours, plain, start)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert float(jnp.abs(one - before).max()) > 1e-3
    idle = list(federated_rounds.by_dkjax(task | {"idle": True}, records))[-1]
    jax.tree.map(np.testing.assert_array_equal, idle, start)


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_are_a_convolution(stride: int) -> None:
    images = RNG.normal(size=(2, 8, 6, 3)).astype(np.float32)
    kernel = RNG.normal(size=(3, 3, 3, 5)).astype(np.float32)
    ours = federated_rounds._patches(jnp.asarray(images), stride) @ kernel.reshape(27, 5)
    padding = ((1, 1), (1, 1))
    theirs = jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_tree_of_processes() -> None:
    """CPU time and memory of a child's child count, and its time stays after its end."""
    grandchild = "bytes(bytearray(b'x') * (50 << 20)); sum(range(8_000_000))"
    child = (
        "import subprocess, sys; started = subprocess.Popen([sys.executable, '-c', sys.argv[1] + "
        "'; print(1, flush=True); input()'], stdin=subprocess.PIPE); input(); started.communicate(b'1'); "
        "print(2, flush=True); input()"
    )
    command = [sys.executable, "-c", child, "kept = " + grandchild]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        tree = ProcessTree(process.pid)
        assert process.stdout.readline() == "1\n"
        working = tree.cpu_seconds()
        assert tree.processes == 2
        assert working > 0.05
        assert tree.memory_bytes() > 50 << 20 > peak_bytes(process.pid) > 1 << 20
        process.stdin.write("1\n")
        process.stdin.flush()
        assert process.stdout.readline() == "2\n"
        assert tree.cpu_seconds() >= working
        process.stdin.write("1\n")


def measured(name: str, seconds: float, peak: int) -> dict[str, Any]:
    numbers = {"seconds_a_round": seconds, "cpu_seconds_a_round": 2 * seconds, "first_round_seconds": 10 * seconds}
    return {"name": name, **numbers, "peak_bytes": peak << 20, "processes": 1}


def test_times_are_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [measured(federated.IN_TURN, 0.02, 300), measured(federated.FLOWER, 0.25, 1200)]
    case = {"network": "mlp", "parameters": 50_890, "contenders": rows}
    machine = {"device": {"platform": "cpu", "kind": "cpu"}, "cpu_cores": 2, "versions": {"dkjax": "0.1.0"}}
    result = {**machine, "cases": [case], "chosen": 10, "memory": {"100": 300 << 20, "10": 250 << 20}}
    print_tables(result, federated.tables(result))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["dkjax,", "in", "turn", "50.00", "1.00", "0.040", "0.2", "300", "1"] in lines
    assert ["Flower,", "torch", "4.00", "12.50", "0.500", "2.5", "1,200", "1"] in lines
    assert ["10", "clients", "250"] in lines


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--flower", "/nowhere/python"], "dkjax: --flower /nowhere/python is no file: name the Python of an"),
        (["--network", "lstm"], "dkjax: --network lstm is not one of mlp, strided, full, vit, idle"),
        (["--clients", "5"], "dkjax: --chosen 10 of 5 clients: choose at most that many"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(script.app(federated.main), arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr and "Traceback" not in result.stderr


def test_a_contender_that_fails_is_named(tmp_path: Path) -> None:
    """Here the one whose environment lacks everything."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no module named flwr' >&2\nexit 1\n")
    python.chmod(0o700)
    with pytest.raises(federated.DkjaxError, match=r"^Flower, torch failed: no module named flwr$"):
        federated._once(federated.Task(federated.FLOWER, "mlp", 3), 1, python)


@pytest.mark.slow
def test_it_runs() -> None:
    result = CliRunner().invoke(script.app(federated.main), [*TINY, "--rounds", "1", "--repeats", "1", "--json"])
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    found = json.loads(result.stdout)
    assert [case["network"] for case in found["cases"]] == ["mlp", "idle"]
    for case in found["cases"]:
        assert case["parameters"] == 50_890
        assert [row["name"] for row in case["contenders"]] == ["in_turn", "side_by_side", "loop"]
        assert all(0 < row["seconds_a_round"] < row["first_round_seconds"] for row in case["contenders"])
        assert all(row["peak_bytes"] > 50 << 20 and row["processes"] == 1 for row in case["contenders"])
