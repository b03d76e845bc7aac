"""Traces on request: of the steps that were asked for."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.train.profiling import Profiler, Profiling
from dkjax.train.state import TrainState


def state(step: int) -> TrainState:
    return TrainState(jnp.int32(step), {"a": jnp.ones(3)}, ())


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append(f"start {folder}"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    return calls


def run(folder: Path, steps: range | None, taken: range) -> None:
    with Profiler(folder, steps) as profiler:
        for step in taken:
            profiler.before_step(step, state(step))


@pytest.mark.parametrize("taken", [range(20), range(12, 20)])
def test_from_one_step_to_another(taken: range, traced: list[str], tmp_path: Path) -> None:
    events = []
    with Profiler(tmp_path / "profile", range(10, 15)) as profiler:
        for step in taken:
            profiler.before_step(step, state(step))
            events += [(step, call.split()[0]) for call in traced]
            traced.clear()
    assert events == [(max(10, taken.start), "start"), (15, "stop")]
    assert traced == []


def test_a_training_that_ends_before(traced: list[str], tmp_path: Path) -> None:
    run(tmp_path / "profile", range(3, 9), range(5))
    assert [call.split()[0] for call in traced] == ["start", "stop"]


@pytest.mark.parametrize(("steps", "taken"), [(None, range(5)), (range(2, 4), range(7, 9))])
def test_nothing_asked_nothing_done(steps: range | None, taken: range, traced: list[str], tmp_path: Path) -> None:
    run(tmp_path / "profile", steps, taken)
    assert traced == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traces_the_steps(tmp_path: Path) -> None:
    product = jax.jit(lambda a: a @ a)
    matrix: Any = np.ones((64, 64), np.float32)
    with Profiler(tmp_path / "profile", range(1, 3)) as profiler:
        for step in range(4):
            profiler.before_step(step, state(step))
            jax.block_until_ready(product(matrix))
    [trace] = (tmp_path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000


def test_events_go_beside_the_metrics() -> None:
    assert Profiling().events(Path("run")) is None
    assert Profiling(tensorboard=True).events(Path("run")) == Path("run/tensorboard")
