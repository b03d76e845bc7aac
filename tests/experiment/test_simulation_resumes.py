"""Simulations stopped in the middle of a run: they go on from its newest checkpoint and end as if nothing had been."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_simulation import compiled_once, config, files_alike, results_alike

from dkjax.config import SimulationConfig
from dkjax.errors import ConfigError, StoppedError
from dkjax.experiment import simulation
from dkjax.experiment.simulation import simulate
from dkjax.train import run as training_run
from dkjax.train.observer import Observer
from dkjax.train.trained_model import load_trained

quick = pytest.fixture(scope="module", autouse=True)(compiled_once)

ARMS = ("plain", "disposable")
ROUNDS = {"clients": {"count": 2, "rounds": 2}, "train": {"checkpoint_every": 2}}
STEPS = 12


class Recorder(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    workdir = tmp_path_factory.mktemp("whole")
    return simulate(config(ARMS, **ROUNDS), workdir), workdir


class Killed(BaseException):
    """What no part of the program expects."""


def interrupted(wanted: SimulationConfig, workdir: Path, arm: str, after: int, how: str) -> list[str]:
    """Run until an arm has taken so many steps; then it is told to stop, or dies. Returns the notes."""
    observer = Recorder()
    taken = -1  # of the arm that runs
    asked = False

    def after_step(step: int, state: Any) -> None:
        nonlocal taken, asked
        taken = step
        if running == arm and step == after:
            asked = True
            if how == "killed":
                raise Killed

    running = ""

    def run_started(name: str, *_: int) -> None:
        nonlocal running
        running = name

    observer.run_started = run_started  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run.Profiler, "before_step", lambda self, step, state: after_step(step, state))
        patch.setattr(simulation, "synced_stop", lambda stop_asked: lambda: asked)
        with pytest.raises(Killed if how == "killed" else StoppedError):
            simulate(wanted, workdir, observer)
    return observer.notes


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("after", [0, 3, 6, 11])
def test_goes_on_to_the_same_bits(after: int, how: str, whole: tuple[dict, Path], tmp_path: Path) -> None:
    interrupted(config(ARMS, **ROUNDS), tmp_path, "disposable", after, how)
    folder = tmp_path / "arms" / "disposable" / "run-0"
    assert not (folder / "result.json").exists()
    observer = Recorder()
    results = simulate(config(ARMS, **ROUNDS), tmp_path, observer)
    assert results_alike(results) == results_alike(whole[0])
    assert files_alike(tmp_path) == files_alike(whole[1])
    params = (load_trained(workdir / "arms" / "disposable" / "run-0").params for workdir in (tmp_path, whole[1]))
    jax.tree.map(np.testing.assert_array_equal, *params)
    going_on = [note for note in observer.notes if "going on" in note]
    # Told to stop, it keeps the step it has just taken; killed, what it had kept before.
    kept = min(after + 1, STEPS) if how == "stopped" else after // 2 * 2
    assert going_on == ([f"disposable run 1: going on after step {kept} of {STEPS}"] if kept else [])
    assert not (folder / "checkpoints").exists()


def test_disposable_keys_begin_anew(tmp_path: Path) -> None:
    """What was encrypted under keys that nobody has cannot be encrypted again: another run of other keys."""
    wanted = config(ARMS, **ROUNDS, keys={"mode": "disposable"})
    interrupted(wanted, tmp_path, "disposable", 5, "stopped")
    assert not (tmp_path / "arms" / "disposable" / "run-0" / "checkpoints").exists()
    observer = Recorder()
    simulate(wanted, tmp_path, observer)
    assert not [note for note in observer.notes if "going on" in note]


def test_plain_images_go_on_whatever_the_keys(tmp_path: Path) -> None:
    wanted = config(("plain",), **ROUNDS, keys={"mode": "disposable"})
    interrupted(wanted, tmp_path, "plain", 5, "stopped")
    observer = Recorder()
    simulate(wanted, tmp_path, observer)
    assert [note for note in observer.notes if "going on" in note] == ["plain run 1: going on after step 6 of 12"]


def test_a_stop_while_clients_encrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "synced_stop", lambda stop_asked: lambda: True)
    with pytest.raises(StoppedError, match="stopped while clients encrypt"):
        simulate(config(("disposable",)), tmp_path)


def test_several_processes_need_keys_that_all_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(simulation, "is_leader", lambda: True)
    with pytest.raises(ConfigError, match=r"2 processes would encrypt each image under keys of their own.*keys.mode=r"):
        simulate(config(keys={"mode": "disposable"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
