"""Structural similarity: scikit-image's numbers, and the best of eight symmetries."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from dkjax.attacks.ssim import best_turned, mean_ssim, ssim
from dkjax.attacks.symmetry import symmetries, turned
from dkjax.errors import ArgumentError


def images(channels: int = 1, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, side, side + 1, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_scikit_image(channels: int) -> None:
    plain, seen = images(channels), images(channels, seed=1)
    seen = (0.7 * plain + 0.3 * seen).astype(np.uint8)
    theirs = [structural_similarity(*pair, channel_axis=-1, data_range=255) for pair in zip(plain, seen, strict=True)]
    assert ssim(plain, seen) == pytest.approx(theirs, abs=1e-9)
    assert min(theirs) > 0.5
    assert mean_ssim(plain, seen) == pytest.approx(np.mean(theirs))


def test_equal_images_and_noise() -> None:
    plain = images()
    assert ssim(plain, plain) == pytest.approx(1)
    assert abs(ssim(plain, images(seed=1))).max() < 0.3


@pytest.mark.parametrize(("side", "known"), [(6, False), (7, True)])
def test_images_smaller_than_the_window(side: int, known: bool) -> None:
    plain = images(side=side)
    assert (mean_ssim(plain, plain) is not None) == known
    if not known:
        with pytest.raises(ArgumentError, match=r"windows of 7 pixels: images of \(6, 7\) are too small"):
            ssim(plain, plain)


def test_the_best_of_the_symmetries() -> None:
    plain = images()[:, :, :16]
    mirrored = plain[:, ::-1]
    assert ssim(plain, mirrored).max() < 0.5
    assert best_turned(plain, mirrored) == pytest.approx(1)


@pytest.mark.parametrize(("shape", "count"), [((5, 5, 2), 8), ((4, 5, 2), 4)])
def test_symmetries_keep_the_shape_and_differ(shape: tuple[int, ...], count: int) -> None:
    grid = np.arange(np.prod(shape)).reshape(shape)
    every = [other for _, other in symmetries(grid)]
    assert len({other.tobytes() for other in every}) == len(every) == count
    assert {other.shape for other in every} == {shape}
    assert np.array_equal(turned(grid, 0), grid)
