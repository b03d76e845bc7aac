"""Partitions beside those of flwr-datasets, in an environment of its own: `make test-flower`.

The random streams differ. So what one draws is handed to the other, and the same records must get the same client;
where the rules differ, the difference is measured. docs/federated.md has the table.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dkjax.errors import DataError
from dkjax.sources import partition
from dkjax.sources.partition import dirichlet, iid, natural_id, pathological, quantity, shards

# Its datasets says so of a newer pyarrow.
pytestmark = [pytest.mark.flower, pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")]

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), np.arange(150, 250, 10)))
"""1 950 records of ten classes of 150 to 240."""

EVEN = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 120))


class InOrder(np.random.Generator):
    """A stream of NumPy's own, as flwr-datasets has it, that leaves records in their order."""

    def __init__(self, seed: int, records: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self._records = records

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """Permute numbers of shards, as flwr-datasets does, and nothing else."""
        if isinstance(x, int) and x != self._records:
            return super().permutation(x)
        return np.arange(x) if isinstance(x, int) else x


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our partitions draw from the stream that flwr-datasets has for a seed."""
    monkeypatch.setattr(partition, "generator", lambda name, seed: InOrder(seed, len(LABELS)))


@pytest.fixture(scope="module", autouse=True)
def no_telemetry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_TELEMETRY_ENABLED", "0")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def flwr(kind: str, labels: np.ndarray, *, order: np.ndarray | None = None, change: Any = None, **given: Any) -> Any:
    """The parts of a partitioner of flwr-datasets, as sorted positions in `labels`."""
    import datasets
    from flwr_datasets import partitioner

    positions = np.arange(len(labels)) if order is None else order
    made = getattr(partitioner, kind)(**given)
    made.dataset = datasets.Dataset.from_dict({"label": labels[positions].tolist(), "position": positions.tolist()})
    if change is not None:
        change(made)
    return [np.sort(np.array(made.load_partition(i)["position"], np.int64)) for i in range(made.num_partitions)]


def require_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own, other)


def counts(parts: list[np.ndarray], labels: np.ndarray = LABELS) -> np.ndarray:
    """Records by client and class."""
    return np.stack([np.bincount(labels[part], minlength=10) for part in parts])


@pytest.mark.parametrize("clients", [1, 7, 64])
def test_iid_of_the_same_order(clients: int) -> None:
    order = partition.generator("dkjax.data.partition.iid", 3).permutation(len(LABELS))
    require_same(iid(LABELS, clients, 3), flwr("IidPartitioner", LABELS, order=order, num_partitions=clients))
    # Theirs takes pieces of the records as they are; ours draws.
    (first, *_) = flwr("IidPartitioner", np.sort(LABELS), num_partitions=clients)
    np.testing.assert_array_equal(first, np.arange(first.size))


def test_natural_ids() -> None:
    sites = np.array(["plant b", "plant a", "é", "Plant"])[LABELS % 4]
    ours = natural_id(sites.tolist())
    theirs = flwr("NaturalIdPartitioner", sites, partition_by="label")
    require_same(list(ours.values()), theirs)
    assert list(ours) == sorted({*sites.tolist()})


@pytest.mark.parametrize(("alpha", "clients"), [(0.3, 10), (1.0, 4), (100.0, 7)])
def test_dirichlet_of_the_same_shares(alpha: float, clients: int, in_order: None) -> None:
    ours = dirichlet(LABELS, clients, alpha, 42)
    given = {"num_partitions": clients, "partition_by": "label", "alpha": alpha, "min_partition_size": 1}
    theirs = flwr("DirichletPartitioner", LABELS, **given)
    # Ours rounds where a class is cut, theirs rounds down: a cut is off by one record at most.
    found, expected = counts(ours), counts(theirs)
    assert np.abs(np.cumsum(found, axis=0) - np.cumsum(expected, axis=0)).max() <= 1
    np.testing.assert_array_equal(found.sum(axis=0), expected.sum(axis=0))
    assert 0 < sum(np.setxor1d(own, other).size for own, other in zip(ours, theirs, strict=True)) < 2 * 10 * clients


def test_dirichlet_is_drawn_again_for_a_minimum(in_order: None) -> None:
    alpha, clients, fewest = 0.5, 10, 100
    first = counts(dirichlet(LABELS, clients, alpha, 42, 1))
    again = dirichlet(LABELS, clients, alpha, 42, fewest)
    given = {"num_partitions": clients, "partition_by": "label", "alpha": alpha, "min_partition_size": fewest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs says of each draw that it is not enough
        theirs = flwr("DirichletPartitioner", LABELS, **given)
    assert first.sum(axis=1).min() < fewest <= min(part.size for part in again)
    assert np.abs(np.cumsum(counts(again), axis=0) - np.cumsum(counts(theirs), axis=0)).max() <= 1


def test_dirichlet_without_enough_records(in_order: None) -> None:
    with pytest.raises(DataError, match="min_partition_size=300"):
        dirichlet(LABELS, 10, 0.1, 42, 300)
    with warnings.catch_warnings(record=True) as tried, pytest.raises(ValueError, match="max number of attempts"):
        warnings.simplefilter("always")
        flwr("DirichletPartitioner", LABELS, num_partitions=10, partition_by="label", alpha=0.1, min_partition_size=300)
    # Theirs draws once more than ours.
    assert sum("min_partition_size" in str(one.message) for one in tried) == partition._ATTEMPTS + 1
    # Its default is ten records a client, ours one.
    few = np.arange(20) % 2
    with warnings.catch_warnings(), pytest.raises(ValueError, match="max number of attempts"):
        warnings.simplefilter("ignore")
        flwr("DirichletPartitioner", few, num_partitions=4, partition_by="label", alpha=100.0)


@pytest.mark.parametrize(("clients", "each"), [(5, 3), (13, 2), (10, 1)])
def test_shards_where_they_divide_the_records(clients: int, each: int, in_order: None) -> None:
    assert len(LABELS) % (clients * each) == 0
    given = {"num_partitions": clients, "partition_by": "label", "num_shards_per_partition": each}
    require_same(shards(LABELS, clients, each, 42), flwr("ShardPartitioner", LABELS, **given))


def test_shards_that_do_not_divide_the_records() -> None:
    theirs = flwr("ShardPartitioner", LABELS, num_partitions=4, partition_by="label", num_shards_per_partition=2)
    ours = shards(LABELS, 4, 2, 0)
    assert sum(part.size for part in theirs) == 8 * (len(LABELS) // 8) == len(LABELS) - 6
    assert sum(part.size for part in ours) == len(LABELS)
    assert {part.size for part in theirs} == {486} and all(0 <= part.size - 486 <= 2 for part in ours)


@pytest.mark.parametrize(("clients", "classes"), [(10, 2), (7, 3), (20, 1), (4, 10)])
def test_pathological_of_the_same_classes(clients: int, classes: int, in_order: None) -> None:
    ours = pathological(LABELS, clients, classes, 0)
    dealt = iter([np.unique(LABELS[part]) for part in ours])

    class Dealt:
        choice: Callable[..., np.ndarray] = staticmethod(lambda *args, **kwargs: next(dealt))

    def hand_over(partitioner: Any) -> None:
        partitioner._rng = Dealt

    given = {"num_partitions": clients, "partition_by": "label", "num_classes_per_partition": classes}
    require_same(ours, flwr("PathologicalPartitioner", LABELS, change=hand_over, shuffle=False, **given))


def test_pathological_of_own_draws() -> None:
    given = {"num_partitions": 10, "partition_by": "label", "num_classes_per_partition": 2}
    ours = counts(pathological(EVEN, 10, 2, 0), EVEN)
    in_turn = counts(flwr("PathologicalPartitioner", EVEN, class_assignment_mode="deterministic", **given), EVEN)
    for found in (ours, in_turn):
        assert ((found > 0).sum(axis=1) == 2).all() and {*found[found > 0].tolist()} == {60}
    # The neighbours of theirs share a class; ours are dealt round and round.
    assert (in_turn[0] * in_turn[1] > 0).sum() == 1 and (ours[0] * ours[1] > 0).sum() == 0
    # By default theirs draws the classes of each client, and leaves out the records of classes that nobody drew.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        drawn = counts(flwr("PathologicalPartitioner", EVEN, seed=10, **given), EVEN)
    assert (drawn.sum(axis=0) == 0).sum() == 2 and drawn.sum() == len(EVEN) - 2 * 120
    assert any("will NOT be used" in str(one.message) for one in said)


def test_quantity_of_the_same_sizes(in_order: None) -> None:
    ours = quantity(LABELS, 6, 0.7, 5)
    theirs = flwr("SizePartitioner", LABELS, partition_sizes=[part.size for part in ours])
    require_same(ours, theirs)
    assert len({part.size for part in ours}) == 6
