"""How the clients of a round are computed: in turn, side by side, or one by one in plain Python.

An executor maps a function of one client over all of them and adds up a part of what it returns, so that the updates of
many clients are never in memory together. All give the same numbers, up to the order of float32 sums.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from dkjax.train.mesh import DATA, FSDP

OneClient = Callable[[Any, Any], tuple[Any, Any]]
"""`(shared, client) -> (summed, kept)`: what is added up over the clients, and what is kept of each. A client of zeros,
which fills up a shape, must add nothing."""

Executor = Callable[[OneClient, Any, Any], tuple[Any, Any]]
"""`(function, shared, clients) -> (sums, kept by client)`; the leaves of `clients` have the clients' axis in front."""

Way = Literal["auto", "in_turn", "side_by_side"]


def executor(way: Way = "auto", mesh: Mesh | None = None, at_a_time: int | None = None) -> Executor:
    """Choose how clients are computed, inside one jitted function.

    Args:
        way: `in_turn`, a loop on every device, which keeps one client's parameters at a time; `side_by_side`,
            vectorised; `auto`, which is in turn on CPUs and side by side elsewhere.
        mesh: devices that divide the clients; one if None.
        at_a_time: how many clients a device computes side by side, so that their parameters fit; all if None.

    Returns:
        The executor.

    Guarantees:
        - as `one_by_one` (`test_executor.py::test_executors_agree`), whatever the number of devices and `at_a_time`.
        - clients that fill up a shape change nothing (`test_executor.py::test_executors_agree`).
    """
    if way == "auto":
        way = "in_turn" if jax.default_backend() == "cpu" else "side_by_side"
    one_at_a_time = 1 if way == "in_turn" else at_a_time
    if mesh is None or mesh.size == 1:
        return lambda function, shared, clients: _in_chunks(function, shared, clients, one_at_a_time)

    def on_mesh(function: OneClient, shared: Any, clients: Any) -> tuple[Any, Any]:
        def on_device(shared: Any, clients: Any) -> tuple[Any, Any]:
            sums, kept = _in_chunks(function, shared, clients, one_at_a_time)
            return jax.tree.map(lambda leaf: jax.lax.psum(leaf, (DATA, FSDP)), sums), kept

        count = _count(clients)
        everywhere, divided = PartitionSpec(), PartitionSpec((DATA, FSDP))
        sums, kept = jax.shard_map(
            on_device, mesh=mesh, in_specs=(everywhere, divided), out_specs=(everywhere, divided), check_vma=False
        )(shared, _filled_up(clients, mesh.size))
        return sums, jax.tree.map(lambda leaf: leaf[:count], kept)

    return on_mesh


def one_by_one(function: OneClient, shared: Any, clients: Any) -> tuple[Any, Any]:
    """Compute the clients one after the other in plain Python: slow, and easy to read."""
    clients = jax.tree.map(jnp.asarray, clients)
    found = [function(shared, jax.tree.map(lambda leaf, i=i: leaf[i], clients)) for i in range(_count(clients))]
    sums = found[0][0]
    for added, _ in found[1:]:
        sums = jax.tree.map(jnp.add, sums, added)
    return sums, jax.tree.map(lambda *leaves: jnp.stack(leaves), *(kept for _, kept in found))


def _in_chunks(function: OneClient, shared: Any, clients: Any, at_a_time: int | None) -> tuple[Any, Any]:
    count = _count(clients)
    size = min(at_a_time or count, count)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), _filled_up(clients, size))

    def one(chunk: Any) -> tuple[Any, Any]:
        if size == 1:
            summed, kept = function(shared, jax.tree.map(lambda leaf: leaf[0], chunk))
            return summed, jax.tree.map(lambda leaf: leaf[None], kept)
        summed, kept = jax.vmap(function, in_axes=(None, 0))(shared, chunk)
        return jax.tree.map(lambda leaf: leaf.sum(axis=0), summed), kept

    def add(sums: Any, chunk: Any) -> tuple[Any, Any]:
        summed, kept = one(chunk)
        return jax.tree.map(jnp.add, sums, summed), kept

    nothing = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda chunks: one(jax.tree.map(lambda leaf: leaf[0], chunks))[0], chunks),
    )
    sums, kept = jax.lax.scan(add, nothing, chunks)
    return sums, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], kept)


def _filled_up(clients: Any, multiple: int) -> Any:
    """Add clients of zeros until their number is a multiple."""
    missing = -_count(clients) % multiple
    if not missing:
        return clients
    return jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, missing), *((0, 0),) * (leaf.ndim - 1))), clients)


def _count(clients: Any) -> int:
    return int(jax.tree.leaves(clients)[0].shape[0])
