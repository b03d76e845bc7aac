"""Structural similarity of plain and encrypted images."""

import sys

import numpy as np
import pytest

from dkjax.collaborative.visibility import mean_ssim


def images(channels: int = 1, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim(channels: int) -> None:
    plain = images(channels)
    assert mean_ssim(plain, plain) == pytest.approx(1)
    assert abs(mean_ssim(plain, images(channels, seed=1))) < 0.15
    half = plain.copy()
    half[1:] = images(channels, seed=1)[1:]
    one_by_one = [mean_ssim(plain[i : i + 1], half[i : i + 1]) for i in range(3)]
    assert mean_ssim(plain, half) == pytest.approx(np.mean(one_by_one))


@pytest.mark.parametrize(("side", "known"), [(6, False), (7, True)])
def test_images_smaller_than_the_window(side: int, known: bool) -> None:
    assert (mean_ssim(images(side=side), images(side=side)) is not None) == known


def test_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    assert mean_ssim(images(), images()) is None
