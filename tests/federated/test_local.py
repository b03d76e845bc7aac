"""A client's own steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_federation import KEY_SEED, mean_loss, params, population, records, sgd

from dkjax.federated.cohort import NO_RECORD, Cohort
from dkjax.federated.local import masked_mean

RECORDS = records(7)


def trained(client: Cohort, mu: float = 0.0, rate: float = 0.3) -> tuple:
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], client)
    local = sgd(mu)
    return jax.jit(local)(params(), local.tx.init(params()), (), RECORDS, one, jax.random.key(KEY_SEED), rate)


def test_steps_by_hand() -> None:
    client = population(7).cohort(1)
    expected, losses = params(), []
    for rows in (client.rows[0, 0], client.rows[0, 1, :3]):
        loss, grads = jax.value_and_grad(mean_loss)(expected, RECORDS, rows)
        expected = jax.tree.map(lambda now, grad: now - 0.3 * grad, expected, grads)
        losses.append(loss)
    found, _, loss = trained(client)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), found, expected)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-6)


def test_the_proximal_term_by_hand() -> None:
    client = population(7).cohort(1)
    start, expected = params(), params()
    for rows in (client.rows[0, 0], client.rows[0, 1, :3]):
        grads = jax.grad(mean_loss)(expected, RECORDS, rows)
        expected = jax.tree.map(lambda w, g, w0: w - 0.3 * (g + 0.7 * (w - w0)), expected, grads, start)
    found = trained(client, mu=0.7)[0]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), found, expected)


@pytest.mark.parametrize("padding", [((0, 0), (0, 3), (0, 0)), ((0, 0), (0, 0), (0, 5)), ((0, 0), (0, 2), (0, 1))])
def test_padding_changes_nothing(padding: tuple) -> None:
    client = population(7).cohort(1)
    padded = Cohort(client.number, np.pad(client.rows, padding, constant_values=NO_RECORD), client.steps, client.weight)
    for one, other in zip(jax.tree.leaves(trained(client)), jax.tree.leaves(trained(padded)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_client_without_images_stays_where_it_is() -> None:
    found, _, loss = trained(population(0, 7).of([0], 1))
    jax.tree.map(np.testing.assert_array_equal, found, params())
    assert loss == 0


def test_masked_mean() -> None:
    values = jnp.array([1.0, jnp.nan, 5.0])
    assert masked_mean(values, jnp.array([True, False, True])) == 3
    assert masked_mean(values, jnp.zeros(3, bool)) == 0
