"""SharedSetup test records aside."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax.errors import ArgumentError
from dkjax.seeds import generator
from dkjax.sources import stratified_split

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
