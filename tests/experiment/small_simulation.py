"""A simulation of seconds, and what it leaves that must be the same when it is done in another way."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dkjax.config import SimulationConfig, TrainConfig, parse_config
from dkjax.experiment import simulation
from dkjax.train.loop import make_trainer
from dkjax.train.metrics import MEASURED

ARMS = ("plain", "disposable", "client_key", "shared_key")


def config(arms: tuple[str, ...] = ARMS, **sections: dict[str, Any]) -> SimulationConfig:
    tree: dict[str, Any] = {
        "data": {"source": "digits", "image_size": 16, "train_images": 48, "test_images": 30},
        "clients": {"count": 2},
        "keys": {"mode": "reproducible", "seed": 0},
        "scheme": {"block_size": 8, "fixed_blocks": "50%"},
        "model": {"variant": "mu", "width": 16, "heads": 2, "mlp_dim": 16, "dropout": 0.1},
        "train": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 2, "log_every": 5},
        "arms": [{"name": name} for name in arms],
    }
    for section, values in sections.items():
        tree[section] = {**tree.get(section, {}), **values} if section != "keys" else values
    return parse_config(tree)


def compiled_once() -> Iterator[None]:
    """Compile the training once for all simulations of a file: a trainer holds no state."""
    with pytest.MonkeyPatch.context() as patch:
        compiled = functools.cache(lambda text, *rest: make_trainer(TrainConfig.model_validate_json(text), *rest))
        patch.setattr(simulation, "make_trainer", lambda train, *rest, **_: compiled(train.model_dump_json(), *rest))
        yield


def results_alike(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What the arms came to, without what is measured by the clock."""
    return [{name: arm[name] for name in arm if not name.endswith("seconds")} for arm in results["arms"]]


def files_alike(workdir: Path) -> dict[str, Any]:
    """The parameters, the samples and the metrics of every run, without what is measured by the clock."""
    found: dict[str, Any] = {}
    for path in sorted(workdir.rglob("*")):
        name = path.relative_to(workdir).as_posix()
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]
        elif path.name == "seen.npz":
            found[name] = path.read_bytes()
    return found
