"""What a client does in a round: some steps of its own on its own images, from the server's parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dkjax.federated.cohort import NO_RECORD, Cohort

Loss = Callable[[Any, Any, dict[str, jax.Array], jax.Array], jax.Array]
"""`(params, frozen, batch, prng_key) -> float32[]`: the mean loss over the records of a batch whose `mask` is True;
`params` are trained, `frozen` are parameters that are not."""


@dataclasses.dataclass(frozen=True)
class LocalTraining:
    """How a client trains.

    Attributes:
        loss: what it minimises.
        tx: its optimizer, for a learning rate of 1; its state begins anew in every round.
        mu: weight of the proximal term `mu/2 |params - server's|^2` (FedProx); 0 for none.
    """

    loss: Loss
    tx: optax.GradientTransformation
    mu: float = 0.0

    def __call__(
        self, params: Any, opt_state: Any, frozen: Any, records: Any, client: Cohort, prng_key: jax.Array, rate: Any
    ) -> tuple[Any, Any, jax.Array]:
        """Train on one client.

        Args:
            params: what it starts from.
            opt_state: of `tx`.
            frozen: parameters that stay.
            records: `image` uint8[n, H, W, C] and `label` int32[n] of all clients.
            client: without the clients' axis.
            prng_key: of the round; the client's is derived from it.
            rate: the learning rate, float32[].

        Returns:
            Parameters, optimizer state and the mean loss over its steps, 0 without a step.

        Guarantees:
            - padding changes nothing: neither more steps nor larger batches
              (`test_local.py::test_padding_changes_nothing`).
        """
        client_key = jax.random.fold_in(prng_key, client.number)
        start = params

        def one(step: jax.Array, carry: Any) -> Any:
            params, opt_state, total = carry
            batch = batch_of(records, client.rows[step])
            loss, grads = jax.value_and_grad(self.loss)(params, frozen, batch, jax.random.fold_in(client_key, step))
            if self.mu:
                grads = jax.tree.map(lambda grad, now, then: grad + self.mu * (now - then), grads, params, start)
            updates, opt_state = self.tx.update(grads, opt_state, params)
            params = jax.tree.map(lambda now, update: now + rate * update, params, updates)
            return params, opt_state, total + loss

        # Side by side, JAX masks the clients that have taken all their steps.
        params, opt_state, total = jax.lax.fori_loop(0, client.steps, one, (params, opt_state, jnp.zeros(())))
        return params, opt_state, total / jnp.maximum(client.steps, 1)


def gradient(
    loss: Loss, params: Any, frozen: Any, records: Any, client: Cohort, prng_key: jax.Array
) -> tuple[Any, jax.Array]:
    """Compute the gradient of one client's mean loss over all its records, batch by batch; see `LocalTraining`.

    Returns:
        The gradient and the loss.
    """
    client_key = jax.random.fold_in(prng_key, client.number)
    count = jnp.maximum((client.rows != NO_RECORD).sum(), 1)

    def add(step: jax.Array, carry: Any) -> Any:
        grads, total = carry
        batch = batch_of(records, client.rows[step])
        share = batch["mask"].sum() / count
        loss_here, more = jax.value_and_grad(loss)(params, frozen, batch, jax.random.fold_in(client_key, step))
        return jax.tree.map(lambda grad, added: grad + share * added, grads, more), total + share * loss_here

    nothing = jax.tree.map(jnp.zeros_like, params)
    return jax.lax.fori_loop(0, client.steps, add, (nothing, jnp.zeros(())))


def batch_of(records: Any, rows: jax.Array) -> dict[str, jax.Array]:
    """Gather a batch with its `mask`; where there is no record, the first of all stands in for it."""
    found = {name: array[jnp.maximum(rows, 0)] for name, array in records.items()}
    return found | {"mask": rows != NO_RECORD}


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Average over the places that are not masked, 0 without any."""
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)
