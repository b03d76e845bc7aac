"""SharedSetup test records aside."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax.errors import ArgumentError
from dkjax.seeds import generator
from dkjax.sources import stratified_split
from dkjax.sources.split import grouped_split

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(np.array)
FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**70)


@settings(max_examples=60, deadline=None)
@given(LABELS, FRACTIONS, SEEDS)
def test_split_is_a_partition(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, test = stratified_split(labels, fraction, seed)
    assert train.dtype == test.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


@settings(max_examples=60, deadline=None)
@given(LABELS, FRACTIONS, SEEDS)
def test_every_class_is_on_both_sides(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, test = stratified_split(labels, fraction, seed)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        in_test = int((labels[test] == label).sum())
        assert in_test == 0 if count == 1 else 1 <= in_test <= count - 1
        assert abs(in_test - fraction * count) <= 1
    assert train.size


def test_split_is_stored() -> None:
    labels = np.arange(1000) % 7
    _, test = stratified_split(labels, 0.2, 3)
    assert hashlib.sha256(test.astype("<i8").tobytes()).hexdigest()[:16] == "09ba5f299a0ebe14"


def test_seeds_and_domains_differ() -> None:
    labels = np.arange(1000) % 7
    drawn = {stratified_split(labels, 0.2, seed)[1].tobytes() for seed in (0, 1, 2**32, 2**64)}
    assert len(drawn) == 4
    assert generator("a", 0).integers(2**63) != generator("b", 0).integers(2**63)
    assert generator("a", 1).integers(2**63) != generator("ab", 1).integers(2**63)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_unusable_fractions(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="test_fraction"):
        stratified_split(np.zeros(4, int), fraction, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_unusable_seeds(seed: int) -> None:
    with pytest.raises(ArgumentError, match="seed"):
        stratified_split(np.zeros(4, int), 0.5, seed)


@pytest.mark.parametrize("labels", [np.zeros(4), np.zeros((2, 2), int)])
def test_unusable_labels(labels: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="labels must be integers"):
        stratified_split(labels, 0.5, 0)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_not_divided(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, groups = random.integers(0, 4, 500), random.integers(0, 40, 500)
    train, test = grouped_split(labels, groups, 0.25, seed)
    assert sorted([*train, *test]) == list(range(500))
    assert not set(groups[train]) & set(groups[test])


@pytest.mark.parametrize("seed", range(5))
def test_grouped_shares(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = np.arange(600) // 5
    labels = np.where(random.random(600) < 0.2, 1, 0)
    _, test = grouped_split(labels, groups, 0.2, seed)
    for label in (0, 1):
        assert abs((labels[test] == label).sum() - 0.2 * (labels == label).sum()) <= 8  # less than two groups
    again = grouped_split(labels, groups, 0.2, seed)[1]
    np.testing.assert_array_equal(test, again)


def test_few_groups() -> None:
    for seed in range(4):
        assert {len(side) for side in grouped_split(np.zeros(6, int), np.array([0, 0, 0, 0, 0, 1]), 0.5, seed)} == {
            1,
            5,
        }
        for fraction in (0.01, 0.99):
            assert all(side.size for side in grouped_split(np.zeros(9, int), np.arange(9) // 3, fraction, seed))
    assert [len(side) for side in grouped_split(np.zeros(6, int), np.zeros(6, int), 0.5, 0)] == [6, 0]
