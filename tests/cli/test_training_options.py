"""Options of the commands that train: what is recorded, and where compiled programs are kept."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from made_data_sets import digits, encrypted
from typer.testing import CliRunner

from dkjax.cli import training
from dkjax.cli.main import app
from dkjax.cli.training import parse_profiling, prepare_training
from dkjax.errors import ConfigError
from dkjax.runtime import machine
from dkjax.runtime.join import Place

CONFIG = """
[model]
variant = "mu"
width = 8
heads = 2
mlp_dim = 8
[train]
epochs = 1
batch_size = 4
evaluations = 1
log_every = 2
"""


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    of_the_tests = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "caches"
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", of_the_tests)


def test_compiled_programs_are_kept(caches: Path) -> None:
    assert prepare_training(None, 1, None, None)
    expected = caches / "dkjax" / f"compiled-{machine.cpu_kind()}"
    assert jax.config.jax_compilation_cache_dir == str(expected)


def test_jax_settings_of_the_cache_win(caches: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    prepare_training(None, 1, None, None)
    assert jax.config.jax_compilation_cache_dir == "elsewhere"
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    prepare_training(None, 1, None, None)
    assert jax.config.jax_compilation_cache_dir is None


def test_who_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Place] = []
    monkeypatch.setattr("dkjax.runtime.join.join", lambda place, *_: places.append(place) or False)
    assert prepare_training("a:1", 3, 2, None)
    assert places == [Place("a:1", 3, 2)]


def test_a_process_that_is_not_the_leader_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dkjax.runtime.join.join", lambda *_: True)
    monkeypatch.setattr("dkjax.runtime.processes.is_leader", lambda: False)
    given: list[bool] = []
    monkeypatch.setattr(training, "_give_stdout_to_results", lambda: given.append(True))
    assert not prepare_training(None, None, None, None)
    assert given == [True]


@pytest.mark.parametrize("text", ["10", "10:", ":5", "15:10", "3:3", "a:b", "-1:4", "1:2:3"])
def test_steps_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--profile {text}: expected the first step and the one after the last"):
        parse_profiling(text, False)


def test_what_is_recorded() -> None:
    watch = parse_profiling("10:15", True)
    assert (watch.profile, watch.tensorboard) == (range(10, 15), True)
    assert parse_profiling(None, False).profile is None


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_a_trace_and_events(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.toml"
    arms = "[[arms]]\nname = 'plain'\n[data]\nsource = 'digits'\nimage_size = 8\ntrain_images = 12\ntest_images = 4\n"
    path.write_text(CONFIG + (arms + "[clients]\ncount = 2\n[scheme]\nblock_size = 4" if command == "simulate" else ""))
    data = ["--data", str(encrypted(tmp_path / "a.dkds", digits(12)))] if command == "train" else []
    arguments = [command, str(path), *data, "--workdir", "run", "--profile", "1:2", "--tensorboard", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    json.loads(result.stdout)
    folder = tmp_path / "run" / ("arms/plain/run-0" if command == "simulate" else ".")
    assert len(list((folder / "profile").rglob("*.xplane.pb"))) == 1
    assert len(list((folder / "tensorboard").iterdir())) == 1
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 3]
    assert all(0 <= line["input_wait"] <= 1 and line["host_memory_bytes"] > 0 for line in lines[:2])


def test_events_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    data = str(encrypted(tmp_path / "a.dkds", digits(12)))
    arguments = ["train", str(path), "--data", data, "--workdir", str(tmp_path / "run"), "--tensorboard"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "[tensorboard]'" in result.stderr


def test_kinds_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    for text in ("flags : sse avx2\n", "flags : sse avx2 avx512f\n", "processor : 0\n"):
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
        kinds.add(machine.cpu_kind())
    assert len(kinds) == 3
