"""Training on 1, 2, 4 and 8 devices, whole and divided: the same results, and no communication but what is meant.

There are eight devices in a process of its own; the tests' four come from `conftest.py`.
"""

import collections
import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import dataclasses, json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
import numpy as np
from dkjax.config import TrainConfig
from dkjax.input.batches import training_batches
from dkjax.input.record_pool import RecordPool
from dkjax.input.order import uniform_order
from dkjax.models.vit import vit
from dkjax.train.loop import evaluate, make_trainer, train
from dkjax.train.mesh import batch_sharding
from dkjax.train.plan import collectives_of

SHAPE = (8, 8, 3)
model = vit("mu", patch_size=4, num_classes=3, width=64, mlp_dim=256, heads=4, dropout=0.1, stochastic_depth=0.1)
random = np.random.default_rng(0)
records = RecordPool([{
    "image": random.integers(0, 256, (40, *SHAPE), np.uint8), "label": random.integers(0, 3, 40).astype(np.int32)
}])
params = model.init(jax.random.key(1), SHAPE)
first = None
for devices, fsdp in ((1, 1), (2, 1), (4, 2), (8, 1), (8, 8)):
    config = TrainConfig(batch_size=16, epochs=2, log_every=1, fsdp=fsdp, learning_rate=1e-2)
    trainer = make_trainer(config, model, len(records), jax.devices()[:devices])
    start, key = trainer.start(params), trainer.replicate_key(jax.random.key(2))
    order = uniform_order(len(records), 16, seed=7)
    seen = [np.asarray(batch["label"]).tolist() for batch in
            training_batches(records, order, range(trainer.total_steps), batch_sharding(trainer.mesh))]
    batch = next(training_batches(records, order, range(1), batch_sharding(trainer.mesh)))
    compiled = trainer.train_step.lower(start, batch, key).compile()
    trainer = dataclasses.replace(trainer, train_step=compiled)
    losses = []
    state = train(trainer, start, records, order, range(trainer.total_steps), key,
                  lambda progress: losses.append(progress.loss))
    accuracy = evaluate(trainer, state.params, {"all": records})["all"]
    trained = jax.device_get(state.params)
    first = first or trained
    difference = jax.tree.map(lambda one, other: float(np.abs(one - other).max()), trained, first)
    held = sum(shard.data.nbytes for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards
               if shard.device == jax.devices()[0])
    print(json.dumps({
        "devices": devices, "fsdp": fsdp, "seen": seen, "losses": losses, "accuracy": accuracy,
        "difference": max(jax.tree.leaves(difference)), "held": held, "collectives": collectives_of(compiled),
    }))
"""

Run = dict[str, Any]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_order_exactly(runs: list[Run]) -> None:
    assert [len(run["seen"]) for run in runs] == [5] * len(runs)
    assert all(run["seen"] == runs[0]["seen"] for run in runs)


def test_the_same_losses_and_parameters(runs: list[Run]) -> None:
    """Equal but for the order in which float32 sums are taken, which AdamW scales up over the steps."""
    for run in runs:
        assert run["losses"] == pytest.approx(runs[0]["losses"], rel=1e-5), run["devices"]
        assert run["difference"] < 1e-3, run["devices"]
        assert run["accuracy"] == pytest.approx(runs[0]["accuracy"], abs=1 / 40)
    # What is compared does differ: from step to step, and by far more than the tolerance.
    assert max(runs[0]["losses"]) > 1.01 * min(runs[0]["losses"])


def test_a_divided_state_takes_less_room(runs: list[Run]) -> None:
    whole = runs[0]["held"]
    for run in runs:
        if run["fsdp"] == 1:
            assert run["held"] == whole
        else:
            # Vectors and small arrays stay whole; the large ones are two thirds of this small network.
            assert whole / run["fsdp"] < run["held"] < whole * (0.4 + 0.6 / run["fsdp"])


def test_communication(runs: list[Run]) -> None:
    for run in runs:
        kinds = collections.Counter(run["collectives"])
        if run["devices"] == 1:
            assert not kinds
        elif run["fsdp"] == 1:
            # The gradient alone, all of it in one go.
            assert kinds == {"all-reduce": 1}
        else:
            assert kinds.keys() <= {"all-gather", "all-reduce", "reduce-scatter"}
            assert kinds["all-gather"] >= 1
