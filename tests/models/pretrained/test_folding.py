"""Parts of other networks in the weights of this one."""

import numpy as np
import pytest

from dkjax.errors import ArgumentError
from dkjax.models.pretrained.folding import fold_layer_scale, fold_normalisation, spread_grey, sum_channels

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 4, 3, 8)).astype(np.float32)
BIAS = RNG.normal(size=8).astype(np.float32)
PATCH = RNG.uniform(size=(4, 4, 3))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def embed(kernel, bias, patch):
    return np.einsum("ijc,ijcd->d", patch, kernel.astype(np.float64)) + bias


def test_layer_scale_is_folded_exactly():
    kernel, gamma, x = RNG.normal(size=(5, 8)), RNG.normal(size=8), RNG.normal(size=5)
    folded_kernel, folded_bias = fold_layer_scale(kernel.astype(np.float32), BIAS, gamma)
    np.testing.assert_allclose(x @ folded_kernel + folded_bias, gamma * (x @ kernel + BIAS), atol=1e-5)
    with pytest.raises(ArgumentError, match=r"scale of shape \[7\] does not fit"):
        fold_layer_scale(kernel, BIAS, gamma[:7])


def test_normalisation_is_folded_exactly():
    folded = fold_normalisation(KERNEL, BIAS, MEAN, STD)
    theirs = embed(KERNEL, BIAS, (PATCH - MEAN) / np.asarray(STD))
    np.testing.assert_allclose(embed(*folded, 2 * PATCH - 1), theirs, atol=1e-4)
    assert all(array.dtype == np.float32 for array in folded)


def test_halves_change_nothing():
    kernel, bias = fold_normalisation(KERNEL, BIAS, (0.5,) * 3, (0.5,) * 3)
    np.testing.assert_array_equal(kernel, KERNEL)
    np.testing.assert_array_equal(bias, BIAS)


def test_grey_image_is_read_as_equal_channels():
    grey = PATCH[..., :1]
    theirs = embed(KERNEL, BIAS, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(embed(sum_channels(KERNEL), BIAS, grey), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ((0.5,), (0.5,), "one number for each of 3 channels"),
        (MEAN, (0.5, 0.5, 0.0), "std positive"),
        (MEAN, (0.5, 0.5, float("nan")), "must be finite"),
    ],
)
def test_impossible_normalisations_are_refused(mean, std, text):
    with pytest.raises(ArgumentError, match=text):
        fold_normalisation(KERNEL, BIAS, mean, std)


def test_spread_grey_sums_to_the_same_bits():
    rng = np.random.default_rng(0)
    kernel = (rng.normal(size=(4, 4, 1, 600)) * 10.0 ** rng.integers(-30, 8, (4, 4, 1, 600))).astype(np.float32)
    kernel[0, 0, 0, :2] = [0, np.float32(1e-45)]
    spread = spread_grey(kernel)
    assert (spread.shape, spread.dtype) == ((4, 4, 3, 600), np.float32)
    np.testing.assert_array_equal(sum_channels(spread), kernel)
    large = np.abs(kernel[..., 0, :]) > 1e-20
    for channel, share in enumerate((0.299, 0.587, 0.114)):
        np.testing.assert_allclose(spread[..., channel, :][large], share * kernel[..., 0, :][large], rtol=1e-5)
