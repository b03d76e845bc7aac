"""Federated algorithms against what can be computed by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_federation import KEY_SEED, loss, mean_loss, params, population, records, sgd

from dkjax.errors import ArgumentError
from dkjax.federated.algorithm import Algorithm, ServerState, fedadam, fedavg, fedsgd, fedyogi, local_only
from dkjax.federated.cohort import Population
from dkjax.federated.executor import executor
from dkjax.federated.local import LocalTraining

IN_TURN = executor("in_turn")
RATE = 0.3


def after(algorithm: Algorithm, clients: Population, found: Any, rounds: int = 1, start: Any = None) -> tuple:
    state = algorithm.init(params() if start is None else start, len(clients.parts))
    round_of = jax.jit(algorithm.round)
    for number in range(1, rounds + 1):
        state, report = round_of(state, (), found, clients.cohort(number), jax.random.key(KEY_SEED), RATE)
    return state, report


def assert_close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-7), found, expected)


def descended(grads: Any, rate: float = RATE) -> Any:
    return jax.tree.map(lambda now, grad: now - rate * grad, params(), grads)


@pytest.mark.parametrize("sizes", [(4, 4), (6, 1, 3)])
def test_one_full_batch_step_is_central_sgd(sizes: tuple[int, ...]) -> None:
    found = records(sum(sizes))
    central = descended(jax.grad(mean_loss)(params(), found))
    clients = population(*sizes, batch_size=max(sizes))
    assert_close(after(fedavg(sgd(), IN_TURN), clients, found)[0].params, central)
    # The gradient does not depend on the size of the batches by which it is computed.
    for batch_size in (1, 2, max(sizes)):
        clients = population(*sizes, batch_size=batch_size)
        state, report = after(fedsgd(loss, RATE, IN_TURN), clients, found)
        assert_close(state.params, central)
    mean = np.average(report.loss, weights=sizes)
    np.testing.assert_allclose(mean, mean_loss(params(), found), rtol=1e-5)


def test_weighted_mean_by_hand() -> None:
    sizes, found = (5, 3), records(8)
    clients = population(*sizes)
    alone = [after(local_only(sgd(), IN_TURN), clients, found)[0].params]
    expected = jax.tree.map(lambda both: (5 * both[0] + 3 * both[1]) / 8, alone[0])
    assert_close(after(fedavg(sgd(), IN_TURN), clients, found)[0].params, expected)
    equal = jax.tree.map(lambda both: both.mean(axis=0), alone[0])
    weighed = population(*sizes, weights=[2.0, 2.0])
    assert_close(after(fedavg(sgd(), IN_TURN), weighed, found)[0].params, equal)


@pytest.mark.parametrize(
    ("make", "tx"),
    [(fedadam, optax.adam(0.1, b1=0.9, b2=0.99, eps=1e-3)), (fedyogi, optax.yogi(0.1, b1=0.9, b2=0.99, eps=1e-3))],
)
def test_server_optimizers_take_the_difference_for_a_gradient(make: Any, tx: Any) -> None:
    found, clients = records(8), population(5, 3)
    averaged = after(fedavg(sgd(), IN_TURN), clients, found)[0].params
    grads = jax.tree.map(jnp.subtract, params(), averaged)
    updates, _ = tx.update(grads, tx.init(params()), params())
    expected = optax.apply_updates(params(), updates)
    assert_close(after(make(sgd(), 0.1, IN_TURN), clients, found)[0].params, expected)


def test_a_client_without_images() -> None:
    found = records(7)
    with_it, without = (
        after(fedadam(sgd(), 0.1, IN_TURN), population(*sizes), found, 2)[0].params for sizes in ((7, 0), (7,))
    )
    # The order of a client's records depends on its number; its first round of all records in one batch does not.
    assert jax.tree.structure(with_it) == jax.tree.structure(without)
    assert_close(with_it, without)
    nobody = after(fedadam(sgd(), 0.1, IN_TURN), population(0, 0), found, 2)
    jax.tree.map(np.testing.assert_array_equal, nobody[0].params, params())
    np.testing.assert_array_equal(nobody[0].left_out, [0, 0])


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
def test_not_finite_is_left_out(encoding: Any) -> None:
    found, sizes = records(9), (4, 3, 2)

    def broken(params: Any, frozen: Any, batch: Any, prng_key: jax.Array) -> jax.Array:
        poisoned = jnp.where(batch["mask"], batch["image"].sum(axis=(1, 2, 3)), 0).sum() == 0
        return loss(params, frozen, batch, prng_key) * jnp.where(poisoned, jnp.inf, 1.0)

    found["image"] = found["image"].at[4:7].set(0)  # those of the second client
    algorithm = fedavg(LocalTraining(broken, optax.sgd(1.0)), IN_TURN, encoding)
    state, report = after(algorithm, population(*sizes), found, 2)
    np.testing.assert_array_equal(report.finite, [True, False, True])
    np.testing.assert_array_equal(state.left_out, [0, 2, 0])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    without = population(*sizes, weights=[4.0, 1e-30, 2.0])
    assert_close(state.params, after(fedavg(sgd(), IN_TURN, encoding), without, found, 2)[0].params)


def test_sent_in_eight_bits_is_near() -> None:
    found, clients = records(8), population(5, 3)
    exact = after(fedavg(sgd(), IN_TURN), clients, found)[0].params
    moved = max(float(np.abs(exact[name] - params()[name]).max()) for name in exact)
    for encoding, bits in (("bfloat16", 8), ("int8", 7)):
        near = after(fedavg(sgd(), IN_TURN, encoding), clients, found)[0].params
        worst = max(float(np.abs(near[name] - exact[name]).max()) for name in near)
        assert 0 < worst < moved / 2**bits * 2


def test_no_client() -> None:
    with pytest.raises(ArgumentError, match="num_clients must be at least 1, got 0"):
        fedavg(sgd(), IN_TURN).init(params(), 0)


def test_the_state_is_arrays_alone() -> None:
    state = fedyogi(sgd(), 0.1, IN_TURN).init(params(), 2)
    assert isinstance(state, ServerState)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
