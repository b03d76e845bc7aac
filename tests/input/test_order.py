"""The order of training: every record as often as it should be seen, and a pure function of seed and step."""

import numpy as np
import pytest

from dkjax.errors import ConfigError
from dkjax.input.order import batch_indices, uniform_order, weighted_order

GOLDEN = {
    (7, 4, 3, 0): [5, 6, 2, 1],
    (7, 4, 3, 1): [4, 3, 0, 2],
    (7, 4, 3, 2): [1, 4, 0, 5],
    (7, 4, 3, 3): [6, 3, 4, 0],
    (1000, 6, 2**31 - 1, 12345): [630, 299, 615, 534, 900, 49],
}
"""`batch_indices` by records, batch size, seed and step. Whoever changes these changes every training."""


@pytest.mark.parametrize(("num_records", "batch_size"), [(12, 4), (7, 4), (5, 16), (1, 3), (31, 8)])
@pytest.mark.parametrize("seed", [0, 9])
def test_every_record_once_an_epoch(num_records: int, batch_size: int, seed: int) -> None:
    epochs = 3
    steps = -(-epochs * num_records // batch_size)
    seen = np.concatenate([batch_indices(num_records, batch_size, seed, step) for step in range(steps)])
    by_epoch = seen[: epochs * num_records].reshape(epochs, num_records)
    np.testing.assert_array_equal(np.sort(by_epoch, axis=1), np.tile(np.arange(num_records), (epochs, 1)))
    if num_records > 5:
        assert len(np.unique(by_epoch, axis=0)) == epochs


@pytest.mark.parametrize("arguments", GOLDEN)
def test_order_is_stored(arguments: tuple[int, int, int, int]) -> None:
    indices = batch_indices(*arguments)
    assert indices.dtype == np.int64
    assert indices.tolist() == GOLDEN[arguments]


def test_order_depends_on_seed_and_step_alone() -> None:
    forward = [batch_indices(50, 8, 1, step).tolist() for step in range(40)]
    np.random.seed(0)  # noqa: NPY002 - the global state is what must not matter
    np.random.rand(3)  # noqa: NPY002
    assert [batch_indices(50, 8, 1, step).tolist() for step in reversed(range(40))] == forward[::-1]
    assert batch_indices(50, 8, 2, 0).tolist() != forward[0]


def test_changing_a_batch_leaves_the_order() -> None:
    before = batch_indices(10, 10, 0, 0).copy()
    batch_indices(10, 10, 0, 0)[:] = 0
    np.testing.assert_array_equal(batch_indices(10, 10, 0, 0), before)


def test_without_weights_the_order_is_batch_indices() -> None:
    order = uniform_order(50, 8, seed=3)
    for step in (0, 7, 3, 100):
        assert order(step).tolist() == batch_indices(50, 8, 3, step).tolist()


# Weights

PIECES = (("a", 30), ("b", 7), ("empty", 0), ("a", 5), ("c", 18))
"""Records behind one another: client a has two pieces."""

OWNER = np.repeat(["a", "b", "a", "c"], [30, 7, 5, 18])
N = len(OWNER)


def epochs_of(weights: dict[str, float], epochs: int, batch_size: int = 16, seed: int = 5) -> np.ndarray:
    order = weighted_order(PIECES, weights, batch_size, seed)
    seen = np.concatenate([order(step) for step in range(-(-epochs * N // batch_size))])
    assert seen.dtype == np.int64
    return seen[: epochs * N].reshape(epochs, N)


@pytest.mark.parametrize(
    ("weights", "places"),
    [
        ({"a": 1, "b": 1, "c": 1}, (20, 20, 20)),
        ({"a": 2.0, "b": 1.0, "c": 1.0}, (30, 15, 15)),
        ({"a": 0.1, "b": 5, "c": 0.9}, (1, 50, 9)),
        ({"a": 3, "b": 2, "c": 2}, (26, 17, 17)),
    ],
)
def test_shares_are_as_asked_for(weights: dict[str, float], places: tuple[int, ...]) -> None:
    for epoch in epochs_of({**weights, "empty": 9}, epochs=3):
        found = [int((OWNER[epoch] == client).sum()) for client in "abc"]
        assert found == list(places)
        for client, share in zip("abc", found, strict=True):
            assert abs(share - N * weights[client] / sum(weights.values())) < 1


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 50, "c": 9}, {"a": 35, "b": 7, "c": 18}])
def test_every_record_of_a_client_equally_often(weights: dict[str, float]) -> None:
    seen = epochs_of({**weights, "empty": 1}, epochs=5)
    for end in range(1, 6):
        counts = np.bincount(seen[:end].ravel(), minlength=N)
        for client in "abc":
            own = counts[client == OWNER]
            assert own.max() - own.min() <= 1


def test_an_epoch_is_shuffled() -> None:
    first, second = epochs_of({"a": 1, "b": 1, "c": 1, "empty": 1}, epochs=2)
    assert not np.array_equal(first, second)
    # Were clients seen one after the other, there would be as many borders between them as clients.
    assert (OWNER[first][1:] != OWNER[first][:-1]).sum() > N // 3


def test_any_step_on_its_own() -> None:
    weights = {"a": 1, "b": 50, "c": 9, "empty": 1}
    forward = [weighted_order(PIECES, weights, 16, 5)(step).tolist() for step in range(30)]
    order = weighted_order(PIECES, weights, 16, 5)
    assert [order(step).tolist() for step in reversed(range(30))] == forward[::-1]
    assert (
        weighted_order(PIECES, {name: 3.0 * weight for name, weight in weights.items()}, 16, 5)(7).tolist()
        == (forward[7])
    )
    assert weighted_order(PIECES, weights, 16, 6)(0).tolist() != forward[0]


def test_weighted_order_is_stored() -> None:
    order = weighted_order((("a", 4), ("b", 3)), {"a": 1, "b": 2}, 7, seed=1)
    assert [order(step).tolist() for step in (0, 1, 50)] == [
        [5, 0, 1, 4, 5, 4, 6],
        [4, 2, 6, 3, 5, 6, 4],
        [6, 4, 3, 6, 1, 5, 4],
    ]


def test_a_client_that_would_never_be_seen() -> None:
    with pytest.raises(ConfigError, match=r"the weight of b, 0\.001, is not one in 60 images: raise it"):
        weighted_order(PIECES, {"a": 1, "b": 0.001, "c": 1, "empty": 1}, 16, 5)
