"""Dealing records out among clients."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.sources.partition import KINDS, dirichlet, iid, natural_id, partition, pathological, quantity, shards

LABELS = np.arange(1200) % 10


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 9), max_size=120).map(lambda labels: np.array(labels, np.int32)),
    st.integers(1, 8),
    st.floats(1e-4, 1e4),
    st.integers(1, 4),
    st.integers(1, 10),
    st.integers(1, 5),
    st.integers(0, 2**70),
)
def test_every_record_has_one_client(
    kind: str,
    labels: np.ndarray,
    num_clients: int,
    alpha: float,
    shards_per_client: int,
    num_classes_per_partition: int,
    fewest: int,
    seed: int,
) -> None:
    given = {
        "alpha": alpha,
        "shards_per_client": shards_per_client,
        "num_classes_per_partition": min(num_classes_per_partition, max(1, len(set(labels.tolist())))),
        "min_partition_size": fewest,
        "seed": seed,
    }
    try:
        parts = partition(kind, labels, num_clients, **given)  # type: ignore[arg-type]
    except DataError as error:
        assert "without a single image" in str(error) or f"min_partition_size={fewest}" in str(error)
        assert "\n" not in str(error)
        return
    assert len(parts) == num_clients
    assert all(part.size >= fewest and part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    again = partition(kind, labels, num_clients, **given)  # type: ignore[arg-type]
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


@pytest.mark.parametrize(
    ("kind", "digest"), [("iid", "3ee6a5320825760d"), ("dirichlet", "29c68ef3d60e8f20"), ("shards", "f32277add07c980c")]
)
def test_parts_are_stored(kind: str, digest: str) -> None:
    parts = partition(kind, LABELS, 5, alpha=0.5, shards_per_client=2, seed=7)
    hashed = hashlib.sha256(b"|".join(part.astype("<i8").tobytes() for part in parts))
    assert hashed.hexdigest()[:16] == digest


def test_seeds_differ_and_kinds_share_no_stream() -> None:
    for kind in KINDS:
        given = {"alpha": 10.0, "num_classes_per_partition": 3}
        drawn = {np.concatenate(partition(kind, LABELS, 4, seed=seed, **given)).tobytes() for seed in range(4)}  # type: ignore[arg-type]
        assert len(drawn) == 4
    # One shard of one class is a random deal too: from the same stream it would be the same deal.
    same_class = np.zeros(64, int)
    assert iid(same_class, 4, 0)[0].tobytes() != shards(same_class, 4, 1, 0)[0].tobytes()


@pytest.mark.parametrize("num_clients", [1, 7, 1200])
def test_iid_sizes_are_even(num_clients: int) -> None:
    sizes = [part.size for part in iid(LABELS, num_clients, 0)]
    assert max(sizes) - min(sizes) <= 1


def test_iid_has_all_classes_everywhere() -> None:
    assert all(np.unique(LABELS[part]).size == 10 for part in iid(LABELS, 5, 0))


def _skew(parts: list[np.ndarray]) -> float:
    """Return the mean over clients of the largest share that one class has."""
    return float(np.mean([np.bincount(LABELS[part], minlength=10).max() / part.size for part in parts]))


@pytest.mark.parametrize("seed", range(5))
def test_smaller_alpha_is_more_skewed(seed: int) -> None:
    skews = [_skew(dirichlet(LABELS, 3, alpha, seed)) for alpha in (0.1, 1.0, 1000.0)]
    assert skews[0] > skews[1] > skews[2]
    assert skews[2] < 0.15


@pytest.mark.parametrize("classes", [1, 2, 5, 10])
def test_pathological_classes(classes: int) -> None:
    parts = pathological(LABELS, 10, classes, 3)
    assert [np.unique(LABELS[part]).size for part in parts] == [classes] * 10
    assert {part.size for part in parts} == {120}
    with pytest.raises(DataError, match="4 clients of 2 classes leave records of some of the 10 classes"):
        pathological(LABELS, 4, 2, 0)


@pytest.mark.parametrize("seed", range(3))
def test_quantities_differ(seed: int) -> None:
    ratios = []
    for alpha in (0.5, 1e4):
        parts = quantity(LABELS, 4, alpha, seed)
        ratios.append(max(part.size for part in parts) / min(part.size for part in parts))
        large = max(parts, key=len)
        assert np.bincount(LABELS[large], minlength=10).max() / large.size < 0.2
    assert ratios[0] > 2 > 1.2 > ratios[1]


def test_a_minimum_is_drawn_for() -> None:
    (seed,) = [seed for seed in range(200) if min(map(len, dirichlet(LABELS, 5, 0.3, seed))) < 30][:1]
    parts = dirichlet(LABELS, 5, 0.3, seed, min_partition_size=30)
    assert min(map(len, parts)) >= 30
    with pytest.raises(DataError, match="min_partition_size=400; use an alpha larger"):
        dirichlet(LABELS, 5, 0.3, 0, min_partition_size=400)


@pytest.mark.parametrize("alpha", [1e-300, 1e-6, 1e12])
def test_extreme_alpha(alpha: float) -> None:
    parts = dirichlet(LABELS, 1, alpha, 0)
    np.testing.assert_array_equal(parts[0], np.arange(1200))
    try:
        assert sum(part.size for part in dirichlet(LABELS, 2, alpha, 1)) == 1200
    except DataError:
        assert alpha < 1


@pytest.mark.parametrize("shards_per_client", [1, 2, 3])
def test_shards_bound_the_classes(shards_per_client: int) -> None:
    labels = np.arange(600) % 10
    for part in shards(labels, 10, shards_per_client, 0):
        # Ten classes of 60 in shards of 60, 30 or 20: no shard spans two classes.
        assert np.unique(labels[part]).size <= shards_per_client


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda: iid(LABELS[:3], 5, 0), r"clients 4, 5 \(of 1 to 5\) .* fewer clients"),
        (lambda: dirichlet(LABELS, 60, 0.01, 0), "alpha larger than 0.01, fewer clients, or another seed"),
        (lambda: shards(LABELS[:1], 2, 1, 0), r"client [12] \(of 1 to 2\) .* fewer clients, fewer shards_per_client"),
    ],
)
def test_clients_without_images(call, remedy: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=remedy):
        call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clients": 0}, "num_clients must be at least 1, got 0"),
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"alpha": float("inf")}, "alpha must be above 0"),
        ({"alpha": float("nan")}, "alpha must be above 0"),
        ({"kind": "shards", "shards_per_client": 0}, "shards_per_client must be at least 1"),
        ({"labels": np.zeros(3)}, "labels must be integers"),
        ({"seed": -1}, "seed must be"),
        ({"min_partition_size": 0}, "min_partition_size must be at least 1"),
        ({"kind": "pathological", "num_classes_per_partition": 11}, "11 is not between 1 and the 10 classes"),
        ({"kind": "quantity", "alpha": -1.0}, "alpha must be above 0"),
    ],
)
def test_unusable_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        partition(**{"kind": "dirichlet", "labels": LABELS, "num_clients": 2, **arguments})  # type: ignore[arg-type]


def test_unknown_kind_suggests_one() -> None:
    with pytest.raises(
        ConfigError, match="iid, dirichlet, shards, pathological, quantity, got 'dirichelt'; did you mean dirichlet"
    ):
        partition("dirichelt", LABELS, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["plant a", "plant b", "é", "10", "9"]), min_size=1, max_size=60), st.integers(1, 3))
def test_natural_ids_are_not_mixed(ids: list[str], fewest: int) -> None:
    try:
        parts = natural_id(ids, fewest)
    except DataError as error:
        assert min(ids.count(one) for one in ids) < fewest
        assert f"min_partition_size={fewest}" in str(error) and "\n" not in str(error)
        return
    assert list(parts) == sorted({*ids})
    for name, part in parts.items():
        assert part.dtype == np.int64 and part.size >= fewest
        assert [place for place, one in enumerate(ids) if one == name] == part.tolist()
