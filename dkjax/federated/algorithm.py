"""Federated algorithms as pairs of pure functions: FedAvg, FedProx, FedAdam, FedYogi, FedSGD and no federation at all.

The server's optimizer takes the averaged difference for a gradient (Reddi et al., arXiv 2003.00295, algorithm 2), so
that FedAvg is plain SGD with a learning rate of 1 there (McMahan et al., arXiv 1602.05629).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dkjax.errors import ArgumentError
from dkjax.federated.cohort import Cohort
from dkjax.federated.executor import Executor
from dkjax.federated.local import LocalTraining, Loss, gradient
from dkjax.federated.update import Encoding, decode, encode


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ServerState:
    """What a server keeps between rounds. Arrays alone.

    Attributes:
        round: int32[], rounds done.
        params: what is trained; without a federation, of every client, the clients' axis in front.
        opt_state: of the server's optimizer or, without a federation, of every client's.
        left_out: int32[clients], how often each client's update was left out since it was not finite.
    """

    round: jax.Array
    params: Any
    opt_state: Any
    left_out: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RoundReport:
    """What came of a round, by client of the cohort.

    Attributes:
        loss: float32[clients], the mean over a client's steps.
        finite: bool[clients], whether the update was finite; others are left out of the average.
    """

    loss: jax.Array
    finite: jax.Array


Round = Callable[[ServerState, Any, Any, Cohort, jax.Array, Any], tuple[ServerState, RoundReport]]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A federated algorithm.

    Attributes:
        init: `(params, num_clients) -> ServerState`.
        round: `(state, frozen, records, cohort, prng_key, rate) -> (state, report)`; jittable. `records` are those of
            all clients, `prng_key` is the round's, `rate` the clients' learning rate.
    """

    init: Callable[[Any, int], ServerState]
    round: Round


def federated(
    local: LocalTraining,
    server_tx: optax.GradientTransformation,
    execute: Executor,
    encoding: Encoding = "float32",
) -> Algorithm:
    """Average the clients' differences, weighted, and let an optimizer of the server take them for a gradient.

    Args:
        local: how clients train.
        server_tx: the server's optimizer.
        execute: from `dkjax.federated.executor`.
        encoding: what clients send; the server decodes it before it averages.

    Returns:
        The algorithm. Where no client of a round has anything to say, the state's parameters stay.

    Guarantees:
        - one full-batch step with SGD is central SGD (`test_algorithm.py::test_one_full_batch_step_is_central_sgd`).
        - the average is the weighted mean (`test_algorithm.py::test_weighted_mean_by_hand`).
        - a client without an image changes nothing (`test_algorithm.py::test_a_client_without_images`).
        - an update that is not finite is left out and counted (`test_algorithm.py::test_not_finite_is_left_out`).
    """

    def difference(shared: Any, client: Cohort) -> tuple[Any, jax.Array]:
        params, frozen, records, prng_key, rate = shared
        opt_state = local.tx.init(params)
        trained, _, loss = local(params, opt_state, frozen, records, client, prng_key, rate)
        return jax.tree.map(jnp.subtract, trained, params), loss

    return _averaging(difference, server_tx, execute, encoding)


def fedavg(local: LocalTraining, execute: Executor, encoding: Encoding = "float32") -> Algorithm:
    """FedAvg: the weighted mean of the clients' parameters; FedProx where `local.mu` is above 0 (arXiv 1812.06127)."""
    return federated(local, optax.sgd(1.0), execute, encoding)


def fedadam(local: LocalTraining, learning_rate: float, execute: Executor, encoding: Encoding = "float32") -> Algorithm:
    """FedAdam, with the paper's moments and `tau` = 1e-3."""
    return federated(local, optax.adam(learning_rate, b1=0.9, b2=0.99, eps=1e-3), execute, encoding)


def fedyogi(local: LocalTraining, learning_rate: float, execute: Executor, encoding: Encoding = "float32") -> Algorithm:
    """FedYogi, with the paper's moments and `tau` = 1e-3."""
    return federated(local, optax.yogi(learning_rate, b1=0.9, b2=0.99, eps=1e-3), execute, encoding)


def fedsgd(loss: Loss, learning_rate: float, execute: Executor, encoding: Encoding = "float32") -> Algorithm:
    """FedSGD: every client sends the gradient of its mean loss, and the server takes one step of SGD."""

    def descent(shared: Any, client: Cohort) -> tuple[Any, jax.Array]:
        params, frozen, records, prng_key, _ = shared
        grads, mean = gradient(loss, params, frozen, records, client, prng_key)
        return jax.tree.map(jnp.negative, grads), mean

    return _averaging(descent, optax.sgd(learning_rate), execute, encoding)


def local_only(local: LocalTraining, execute: Executor) -> Algorithm:
    """Let every client train by itself, and keep its optimizer's state over the rounds; nothing is sent.

    Every client takes part in every round: the cohort is all of them, in order.
    """

    def init(params: Any, num_clients: int) -> ServerState:
        def repeated(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], num_clients, axis=0), tree)

        return ServerState(_zero(), repeated(params), repeated(local.tx.init(params)), _none_left_out(num_clients))

    def round_of(
        state: ServerState, frozen: Any, records: Any, cohort: Cohort, prng_key: jax.Array, rate: Any
    ) -> tuple[ServerState, RoundReport]:
        def one(shared: Any, client: Any) -> tuple[Any, Any]:
            own, params, opt_state = client
            trained = local(params, opt_state, shared[0], shared[1], own, shared[2], shared[3])
            return (), (*trained, _finite(trained[0]))

        shared = (frozen, records, prng_key, rate)
        _, (params, opt_state, loss, finite) = execute(one, shared, (cohort, state.params, state.opt_state))
        left_out = state.left_out + ~finite
        return ServerState(state.round + 1, params, opt_state, left_out), RoundReport(loss, finite)

    return Algorithm(init, round_of)


def _averaging(
    difference: Callable[[Any, Cohort], tuple[Any, jax.Array]],
    server_tx: optax.GradientTransformation,
    execute: Executor,
    encoding: Encoding,
) -> Algorithm:
    def init(params: Any, num_clients: int) -> ServerState:
        if num_clients < 1:
            raise ArgumentError(f"num_clients must be at least 1, got {num_clients}")
        params = jax.tree.map(jnp.asarray, params)
        return ServerState(_zero(), params, server_tx.init(params), _none_left_out(num_clients))

    def one(shared: Any, client: Cohort) -> tuple[Any, Any]:
        update, loss = difference(shared, client)
        received = decode(encode(update, encoding), encoding)
        finite = _finite(received)
        weight = jnp.where(finite, client.weight, 0.0)
        # Zero times what is not finite is not a number.
        weighted = jax.tree.map(lambda leaf: jnp.where(weight > 0, weight * leaf, 0.0), received)
        return (weighted, weight), (loss, finite)

    def round_of(
        state: ServerState, frozen: Any, records: Any, cohort: Cohort, prng_key: jax.Array, rate: Any
    ) -> tuple[ServerState, RoundReport]:
        shared = (state.params, frozen, records, prng_key, rate)
        (total, weight), (loss, finite) = execute(one, shared, cohort)
        mean = jax.tree.map(lambda leaf: -leaf / jnp.where(weight > 0, weight, 1.0), total)
        updates, opt_state = server_tx.update(mean, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # Where nobody has anything to say, no momentum of the server's moves the parameters either.
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(weight > 0, new, old), (params, opt_state), (state.params, state.opt_state)
        )
        left_out = state.left_out.at[cohort.number].add((~finite).astype(jnp.int32))
        return ServerState(state.round + 1, params, opt_state, left_out), RoundReport(loss, finite)

    return Algorithm(init, round_of)


def _finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _zero() -> jax.Array:
    return jnp.zeros((), jnp.int32)


def _none_left_out(num_clients: int) -> jax.Array:
    return jnp.zeros(num_clients, jnp.int32)
