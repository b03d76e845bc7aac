"""Clients in turn, side by side and one by one: the same numbers."""

import jax
import numpy as np
import pytest
from small_federation import KEY_SEED, params, population, records, sgd

from dkjax.federated.algorithm import Algorithm, fedavg, local_only
from dkjax.federated.executor import Executor, executor, one_by_one
from dkjax.train.mesh import train_mesh

SIZES = (5, 0, 3, 9, 4)


def two_rounds(execute: Executor, make: str, jitted: bool = True) -> tuple:
    algorithm: Algorithm = (fedavg if make == "fedavg" else local_only)(sgd(mu=0.1), execute)
    clients = population(*SIZES, local_epochs=2, clients_per_round=None if make == "local_only" else 3)
    state = algorithm.init(params(), len(SIZES))
    round_of = jax.jit(algorithm.round) if jitted else algorithm.round
    for number in (1, 2):
        state, report = round_of(state, (), records(sum(SIZES)), clients.cohort(number), jax.random.key(KEY_SEED), 0.5)
    return state, report


WAYS = {
    "in turn": lambda: executor("in_turn"),
    "side by side": lambda: executor("side_by_side"),
    "two at a time": lambda: executor("side_by_side", at_a_time=2),
    "in turn on four devices": lambda: executor("in_turn", train_mesh(4)),
    "side by side on four devices": lambda: executor("side_by_side", train_mesh(4)),
    "by default": executor,
}


@pytest.fixture(scope="module", params=["fedavg", "local_only"])
def readable(request: pytest.FixtureRequest) -> tuple:
    return request.param, two_rounds(one_by_one, request.param, jitted=False)


@pytest.mark.parametrize("way", WAYS)
def test_executors_agree(way: str, readable: tuple) -> None:
    make, expected = readable
    found = two_rounds(WAYS[way](), make)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), found, expected)
    moved = np.abs(np.asarray(found[0].params["bias"])).max()
    assert moved > 0.01
