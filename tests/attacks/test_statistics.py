"""Estimates and baselines."""

import numpy as np
import pytest

from dkjax.attacks.statistics import estimate, mean_image, permuted_values
from dkjax.errors import ArgumentError


def test_coverage() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        found = estimate(rng.normal(0.5, 0.1, 40), draws=200)
        assert found.low < found.mean < found.high and found.images == 40
        inside += found.low <= 0.5 <= found.high
    assert 0.9 <= inside / 300 <= 0.98


def test_one_image_has_no_interval() -> None:
    found = estimate(np.array([0.25]))
    assert (found.mean, found.low, found.high, found.images) == (0.25, 0.25, 0.25, 1)


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [[0.5]]])
def test_values_that_are_none(values: list[float]) -> None:
    with pytest.raises(ArgumentError, match="a finite value for each of at least one image"):
        estimate(np.array(values))


def test_baselines() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    assert mean_image(images).shape == images.shape
    assert np.abs(mean_image(images)[1] - images.mean(axis=0)).max() <= 0.5
    permuted = permuted_values(images)
    assert not np.array_equal(permuted, images)
    assert np.array_equal(np.sort(permuted.reshape(3, -1)), np.sort(images.reshape(3, -1)))
