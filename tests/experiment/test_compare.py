"""Arms compared from Python: the same as a simulation, with schemes, optimizers and kinds of the caller's own."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest
from small_simulation import config

import dkjax
from dkjax.cipher import schemes
from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.experiment import Arm, ArmKind, ArmResult, ArmTask, Comparison, arm, compare, plain
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.simulation import simulate
from dkjax.experiment.upload_training import train_on_rounds

SCHEME = schemes.disposable(8, fixed_blocks=2)
MODEL = dkjax.models.vit("mu", patch_size=8, num_classes=10, width=16, heads=2, mlp_dim=16, dropout=0.1)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 8, "evaluations": 2, "log_every": 5}
DATA = {"source": "digits", "image_size": 16, "train_images": 48, "test_images": 30}


def rows_alike(rows: Any) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if not name.endswith("seconds")} for row in rows]


@pytest.fixture(scope="module")
def found() -> Comparison:
    arms = [plain, arm(SCHEME)]
    return compare(DATA, arms, seeds=1, model=MODEL, clients=2, key_seed=0, learning_rate=1e-2, **SHORT)


def test_equals_simulate(found: Comparison, tmp_path: Path) -> None:
    simulated = simulate(config(("plain", "disposable")), tmp_path)
    assert rows_alike(found.rows) == rows_alike(simulated["arms"])


def test_the_table(found: Comparison) -> None:
    assert json.loads(found.to_json()) == list(found.rows)
    head, first, second = str(found).splitlines()
    assert head.split() == ["arm", "plain", "fresh_key"]
    accuracy = found.rows[0]["test_accuracy"]["plain"]["mean"]
    assert found.accuracy("plain") == accuracy
    assert first.split() == ["plain", f"{accuracy:.1%}", "±", "0.0%", "-"]
    assert second.startswith("disposable")


def test_arrays_an_optimizer_and_a_kind_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8), np.arange(40) % 2
    tasks: list[ArmTask] = []

    def train(task: ArmTask) -> ArmResult:
        tasks.append(task)
        borrowed = Arm("lent", arm_kind("plain"))
        return train_on_rounds(dataclasses.replace(task, arm=borrowed))

    own = Arm("mine", ArmKind("mine", key_sharing="none", train=train))
    model = dkjax.models.vit("mu", patch_size=4, num_classes=2, width=8, heads=1, mlp_dim=8)
    short = {**SHORT, "epochs": 1, "seeds": 2, "clients": 2, "model": model, "workdir": tmp_path / "run"}
    arms = [own, arm(schemes.le(4), "shared_key", name="shared")]
    table = compare((images, labels), arms, optimizer=optax.sgd(1e-2), **short)
    assert [(row["name"], row["keys"], row["scheme"]) for row in table.rows] == [
        ("mine", "none", None),
        ("shared", "shared", "le"),
    ]
    assert [task.run.seed for task in tasks] == [0, 1]
    assert (len(tasks[0].test["label"]), sum(len(one.records["label"]) for one in tasks[0].clients)) == (8, 32)
    assert table.rows[1]["test_accuracy"].keys() == {"plain", "fresh_key", "same_key"}
    # In a folder, what is finished is kept; another optimizer is another comparison.
    assert compare((images, labels), arms, optimizer=optax.sgd(1e-2), **short).rows == table.rows
    assert len(tasks) == 2
    with pytest.raises(ConfigError, match="differs in optimizer"):
        compare((images, labels), arms, optimizer=optax.sgd(2e-2), **short)
    with pytest.raises(DataError, match="is a simulation, which trained several models"):
        dkjax.load_trained(tmp_path / "run")
    run = dkjax.load_trained(tmp_path / "run" / "arms" / "mine" / "run-0")
    assert run.accuracy.keys() == {"plain"}


@pytest.mark.parametrize(
    ("arms", "changes", "error", "message"),
    [
        ([], {}, ArgumentError, "nothing to compare"),
        ([arm(SCHEME), arm(SCHEME)], {}, ConfigError, "two arms are named 'disposable': give each a name of its own"),
        ([arm(schemes.disposable(5))], {}, ArgumentError, "block_size=5 does not divide"),
        ([plain], {"epoch": 3}, ConfigError, "dkjax.experiment.compare: unknown key train.epoch; did you mean"),
        (
            [plain],
            {"model": dkjax.models.vit("mu", patch_size=8)},
            ConfigError,
            "there are 2 classes, and the model has",
        ),
    ],
)
def test_bad_input(arms: list, changes: dict, error: type[Exception], message: str) -> None:
    images = np.zeros((20, 8, 8, 1), np.uint8)
    with pytest.raises(error, match=message):
        compare((images, np.arange(20) % 2), arms, **{"clients": 2, "batch_size": 8, **changes})


def test_arms_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="there is no kind of arm 'swarm'; known are plain"):
        arm(SCHEME, "swarm")
    with pytest.raises(ConfigError, match="cannot be adapted"):
        arm(SCHEME, adapt_embedding=True)
    with pytest.raises(ArgumentError, match="does not encrypt"):
        arm(SCHEME, "plain")
