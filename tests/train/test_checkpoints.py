"""A stopped training goes on as if nothing had happened; a damaged checkpoint is passed over."""

import contextlib
import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_data_sets import digits, encrypted

from dkjax.config import ServerConfig, parse_as
from dkjax.errors import ConfigError, NonFiniteLossError, StoppedError
from dkjax.runtime.files import read_json
from dkjax.server.run import train_on_data_sets
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints, History
from dkjax.train.loop import make_trainer
from dkjax.train.mesh import replicated, train_mesh
from dkjax.train.metrics import MEASURED, Progress
from dkjax.train.observer import Observer
from dkjax.train.params import placed
from dkjax.train.state import TrainState, initial_state
from dkjax.train.trained_model import load_trained

# Checkpoints alone

MESH = train_mesh(4)
WHOLE = replicated(MESH)
TX = optax.adamw(1e-3)


def made_up(step: int, size: int = 30) -> TrainState:
    rng = np.random.default_rng(step)
    state = initial_state({"head": {"kernel": rng.normal(size=(size, 5)).astype(np.float32)}}, TX, MESH)
    return dataclasses.replace(state, step=jax.device_put(jnp.int32(step), WHOLE))


LIKE = placed(jax.eval_shape(lambda: made_up(0)), WHOLE)


def told(step: int, accuracy: float | None = None) -> History:
    curve = () if accuracy is None else ({"step": step, "epoch": 0.5, "test_accuracy": {"z": accuracy, "a": 0.0}},)
    return History(
        curve=curve,
        last=Progress(step, 100, 0.1 + step, 1 / 3, 1e-3, 7.0, 0.1, None, None, 1 << 30),
        pending=({"loss": np.float32(0.1), "accuracy": np.float32(1 / 3)},),
        log_bytes=step,
    )


def checkpoints(folder: Path, **options: Any) -> Checkpoints:
    return Checkpoints(folder, {"hash": "x"}, **{"every": 1, "keep": 3, **options})


def write(folder: Path, *steps: int, **options: Any) -> None:
    with checkpoints(folder, **options) as writing:
        for step in steps:
            writing.after_step(step, made_up(step), lambda step=step: told(step))


def assert_same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_everything_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "kept", 5, 6)
    state, history = checkpoints(tmp_path / "kept").newest(LIKE)
    assert_same(state, made_up(6))
    assert jax.tree.structure(state) == jax.tree.structure(made_up(6))
    assert all(leaf.sharding.is_equivalent_to(WHOLE, leaf.ndim) for leaf in jax.tree.leaves(state))
    assert history == told(6)
    assert history.pending[0]["loss"].dtype == np.float32


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        assert checkpoints(folder, warn=pytest.fail).newest(LIKE) is None
    assert list(tmp_path.iterdir()) == []


def test_due(tmp_path: Path) -> None:
    write(tmp_path / "every two", *range(1, 8), every=2)
    assert {path.name for path in (tmp_path / "every two").iterdir()} == {"2", "4", "6"}
    write(tmp_path / "never", *range(1, 8), every=0)
    assert not (tmp_path / "never").exists()


def test_newest_and_best_are_kept(tmp_path: Path) -> None:
    history = EMPTY_HISTORY
    with checkpoints(tmp_path / "kept", keep=2) as writing:
        for step, accuracy in enumerate([0.2, 0.7, 0.7, 0.1, 0.3, 0.5]):
            history = dataclasses.replace(history, curve=history.curve + told(step, accuracy).curve)
            writing.after_evaluation(step, made_up(step), lambda history=history: history)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"2", "4", "5"}
    _, found = checkpoints(tmp_path / "kept").newest(LIKE)
    assert found == history
    assert list(found.curve[0]["test_accuracy"]) == ["z", "a"]


def test_the_steps_that_follow_do_not_change_what_is_written(tmp_path: Path) -> None:
    """Orbax writes while training goes on, in memory that the next step is free to take."""
    state = made_up(1, 200_000)
    expected = jax.device_get(state)
    overwrite = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    with checkpoints(tmp_path / "kept") as writing:
        writing.after_step(1, state, lambda: EMPTY_HISTORY)
        for _ in range(10):
            state = overwrite(state)
        jax.block_until_ready(state)
    found, _ = checkpoints(tmp_path / "kept").newest(placed(jax.eval_shape(lambda: made_up(0, 200_000)), WHOLE))
    assert_same(found, expected)


def test_a_stop_waits_for_the_disk(tmp_path: Path) -> None:
    writing = checkpoints(tmp_path / "kept", every=0, stop_asked=lambda: True)
    with pytest.raises(StoppedError, match="stopped after step 4, which is kept"), writing:
        try:
            writing.after_step(4, made_up(4), lambda: told(4))
        finally:
            assert (tmp_path / "kept" / "4" / "checksums.json").exists()
    # Asked to stop again before another step, there is nothing to write.
    with pytest.raises(StoppedError), checkpoints(tmp_path / "kept", stop_asked=lambda: True) as writing:
        writing.stop_if_asked(4, made_up(4), lambda: told(4))


def test_checkpoints_of_another_training(tmp_path: Path) -> None:
    write(tmp_path / "kept", 1)
    other = Checkpoints(tmp_path / "kept", {"hash": "y"}, every=1, keep=1, warn=pytest.fail)
    with pytest.raises(ConfigError, match="is of another training"):
        other.newest(LIKE)
    assert (tmp_path / "kept" / "1").is_dir()


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit in an array": lambda folder: flip(biggest(folder)),
    "an array cut short": lambda folder: cut(biggest(folder)),
    "an array gone": lambda folder: biggest(folder).unlink(),
    "an index emptied": lambda folder: (folder / "state" / "manifest.ocdbt").write_bytes(b""),
    "another history": lambda folder: flip(folder / "history" / "metadata"),
    "no history": lambda folder: shutil.rmtree(folder / "history"),
    "no state": lambda folder: shutil.rmtree(folder / "state"),
    "no checksums": lambda folder: (folder / "checksums.json").unlink(),
    "checksums cut short": lambda folder: cut(folder / "checksums.json"),
    "other checksums": lambda folder: (folder / "checksums.json").write_text("[]"),
    "a stranger": lambda folder: (folder / "state" / "d" / "stranger").touch(),
    "empty": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "a file": lambda folder: (shutil.rmtree(folder), folder.touch()),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write(folder / "kept", 1, 2, 3)
    return folder / "kept"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoints_are_passed_over(damage: str, written: Path, tmp_path: Path) -> None:
    folder, warnings = Path(shutil.copytree(written, tmp_path / "kept")), []
    DAMAGES[damage](folder / "3")
    state, history = checkpoints(folder, warn=warnings.append).newest(LIKE)
    assert_same(state, made_up(2))
    assert history == told(2)
    (warning,) = warnings
    assert warning.startswith(f"the checkpoint {folder / '3'} is damaged and is passed over: ")
    assert "\n" not in warning
    # The damaged one is in nobody's way: the same step can be written again.
    write(folder, 3)
    state, _ = checkpoints(folder, warn=pytest.fail).newest(LIKE)
    assert_same(state, made_up(3))


def test_all_damaged(written: Path, tmp_path: Path) -> None:
    folder, warnings = Path(shutil.copytree(written, tmp_path / "kept")), []
    for step in folder.iterdir():
        flip(biggest(step))
    assert checkpoints(folder, warn=warnings.append).newest(LIKE) is None
    assert len(warnings) == 4
    assert warnings[-1] == f"no checkpoint in {folder} is whole: the training begins anew"


def test_what_a_killed_process_left_is_no_checkpoint(written: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written, tmp_path / "kept"))
    (folder / "3").rename(folder / "3.orbax-checkpoint-tmp")
    state, _ = checkpoints(folder, warn=pytest.fail).newest(LIKE)
    assert int(state.step) == 2
    write(folder, 3)
    assert {path.name for path in folder.iterdir()} == {"1", "2", "3"}


# Whole trainings

MODEL = {"variant": "mu", "width": 8, "heads": 1, "mlp_dim": 8, "dropout": 0.1}
TRAIN = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 2, "log_every": 4, "checkpoint_every": 3}
STEPS, TEST_BATCHES = 12, 3


def config(**train: Any) -> ServerConfig:
    return parse_as(ServerConfig, {"model": MODEL, "train": TRAIN | train, "data": {"test_images": 20}})


class Recorder(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("data")
    return encrypted(folder / "a.dkds", digits(20)), encrypted(folder / "b.dkds", digits(12))


def run(workdir: Path, data: tuple[Path, ...], observer: Observer | None = None, **train: Any) -> dict[str, Any]:
    return train_on_data_sets(config(**train), data, workdir, tests=("digits",), observer=observer)


def ended(workdir: Path) -> dict[str, Any]:
    """All that a training leaves for good, speeds aside."""
    results = read_json(workdir / "results.json")
    assert results is not None
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    leaves = jax.tree.leaves_with_path(load_trained(workdir).params)
    return {
        "results": {name: results[name] for name in ("test_accuracy", "train", "curve", "clients", "data")},
        "metrics": [{name: value for name, value in line.items() if name not in MEASURED} for line in lines],
        "params": {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves},
    }


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """Let trainings of one configuration share their compiled steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dkjax.server.run.make_trainer", functools.cache(make_trainer))
        yield


@pytest.fixture(scope="module")
def uninterrupted(data: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("uninterrupted")
    run(workdir, data)
    return workdir


def stopping_at(poll: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for a stop when training looks for the `poll`-th time: at first, after each step, test batch, evaluation."""

    @contextlib.contextmanager
    def polled() -> Iterator[Callable[[], bool]]:
        polls = iter(range(1, 1000))
        yield lambda: next(polls) >= poll

    monkeypatch.setattr("dkjax.server.run.signals_polled", polled)


STOPS = {
    "before the first step": 1,
    "after the first step": 2,
    "at a checkpoint": 4,
    "between reports": 6,
    "before the evaluation": 1 + STEPS // 2,
    "within the evaluation": 1 + STEPS // 2 + 2,
    "after the evaluation": 1 + STEPS // 2 + TEST_BATCHES + 1,
    "within the last evaluation": 1 + STEPS + TEST_BATCHES + 1 + 2,
    "after the last evaluation": 1 + STEPS + 2 * (TEST_BATCHES + 1),
}


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_anywhere_is_the_same_to_the_bit(
    stop: str, uninterrupted: Path, data: tuple[Path, ...], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError) as stopped:
        stopping_at(STOPS[stop], patch)
        run(tmp_path, data)
    assert not (tmp_path / "results.json").exists()
    observer = Recorder()
    run(tmp_path, data, observer)
    step = stopped.value.args[0].split()[3].rstrip(",")
    assert observer.notes[-1] == f"going on after step {step} of {STEPS}"
    assert ended(tmp_path) == ended(uninterrupted)


@pytest.mark.parametrize("every", [0, 1])
def test_stopped_again_and_again(every: int, data: tuple[Path, ...], tmp_path: Path) -> None:
    run(tmp_path / "whole", data, checkpoint_every=every)
    stops = 0
    with pytest.MonkeyPatch.context() as patch:
        stopping_at(TEST_BATCHES + 3, patch)
        while not (tmp_path / "parts" / "results.json").exists():
            with contextlib.suppress(StoppedError):
                run(tmp_path / "parts", data, checkpoint_every=every)
            stops += 1
    assert stops > 3
    assert ended(tmp_path / "parts") == ended(tmp_path / "whole")


def stopped(workdir: Path, data: tuple[Path, ...], after: int, **train: Any) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        stopping_at(1 + after, patch)
        run(workdir, data, **train)


def test_a_damaged_newest_checkpoint_costs_no_more_than_its_steps(
    uninterrupted: Path, data: tuple[Path, ...], tmp_path: Path
) -> None:
    stopped(tmp_path, data, after=5)
    flip(biggest(tmp_path / "checkpoints" / "5"))
    observer = Recorder()
    run(tmp_path, data, observer)
    assert len(observer.warnings) == 1
    assert observer.notes[-1] == f"going on after step 3 of {STEPS}"
    assert ended(tmp_path) == ended(uninterrupted)


def test_without_a_whole_checkpoint_training_begins_anew(
    uninterrupted: Path, data: tuple[Path, ...], tmp_path: Path
) -> None:
    stopped(tmp_path, data, after=5)
    for step in (tmp_path / "checkpoints").iterdir():
        cut(biggest(step))
    observer = Recorder()
    run(tmp_path, data, observer)
    assert observer.warnings[-1].endswith("the training begins anew")
    assert ended(tmp_path) == ended(uninterrupted)


def test_another_configuration_is_refused(data: tuple[Path, ...], tmp_path: Path) -> None:
    stopped(tmp_path, data, after=2)
    with pytest.raises(ConfigError, match=r"differs in train\.learning_rate"):
        run(tmp_path, data, learning_rate=2e-2)


def test_on_another_number_of_devices(uninterrupted: Path, data: tuple[Path, ...], tmp_path: Path) -> None:
    """Begun on four, ended on one: equal but for the order in which float32 sums are taken."""
    stopped(tmp_path, data, after=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "dkjax.train.loop.train_mesh", lambda batch_size, *_, **__: train_mesh(batch_size, jax.devices()[:1])
        )
        patch.setattr("dkjax.server.run.make_trainer", make_trainer)
        run(tmp_path, data)
    one, other = (load_trained(workdir).params for workdir in (tmp_path, uninterrupted))
    jax.tree.map(lambda *pair: np.testing.assert_allclose(*pair, atol=5e-4), one, other)
    losses = [[line["loss"] for line in ended(path)["metrics"] if "loss" in line] for path in (tmp_path, uninterrupted)]
    # Another order of the records would differ in the first digits.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 1)])
def test_divided_in_another_way(
    before: int,
    after: int,
    uninterrupted: Path,
    data: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How the state lies on the devices is no part of what is asked for."""
    monkeypatch.setattr("dkjax.train.mesh._WORTH_DIVIDING", 1)
    stopped(tmp_path, data, after=5, fsdp=before)
    observer = Recorder()
    run(tmp_path, data, observer, fsdp=after)
    assert observer.notes[-1] == f"going on after step 5 of {STEPS}"
    one, other = (load_trained(workdir).params for workdir in (tmp_path, uninterrupted))
    jax.tree.map(lambda *pair: np.testing.assert_allclose(*pair, atol=5e-4), one, other)


def test_no_checkpoint_of_a_diverged_training(data: tuple[Path, ...], tmp_path: Path) -> None:
    """Between two reports the losses are not looked at, but before a checkpoint they are."""
    diverging = {"learning_rate": 1e30, "warmup_fraction": 0.0, "clip_norm": None, "log_every": 100, "evaluations": 1}
    with pytest.raises(NonFiniteLossError, match="training step") as caught:
        run(tmp_path, data, **diverging, checkpoint_every=1)
    bad = int(caught.value.args[0].split("training step ")[1].split()[0])
    assert max(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == bad
