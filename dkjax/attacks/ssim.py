"""Structural similarity: how much of a plain image the eye finds in another."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from dkjax.attacks.symmetry import symmetries, turned
from dkjax.errors import ArgumentError

WINDOW = 7
"""The side in pixels of the window in which images are compared; no image may be smaller."""

_RANGE = 255
_SAMPLE = WINDOW**2 / (WINDOW**2 - 1)


def ssim(plain: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Compare images as people would, by structural similarity.

    Args:
        plain: uint8[n, H, W, C].
        seen: uint8[n, H, W, C], what became of them.

    Returns:
        float64[n]: 1 for equal images, about 0 where nothing is in common (Wang et al. 2004; a uniform window of 7
        pixels and sample covariances, as scikit-image computes it).

    Raises:
        ArgumentError: the images are smaller than the window, or of different shapes.

    Guarantees:
        - scikit-image's numbers (`test_ssim.py::test_equals_scikit_image`).
    """
    if plain.shape != seen.shape or plain.ndim != 4:
        raise ArgumentError(f"expected two batches of images of one shape, got {plain.shape} and {seen.shape}")
    if min(plain.shape[1:3]) < WINDOW:
        raise ArgumentError(f"SSIM compares windows of {WINDOW} pixels: images of {plain.shape[1:3]} are too small")
    return np.array([_ssim(_windowed(one), _windowed(other)) for one, other in zip(plain, seen, strict=True)])


def best_turned(plain: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Compare plain images with what came back in the most favourable of its symmetries; as `ssim`."""
    return np.array([best_symmetry(one, other)[1] for one, other in zip(plain, found, strict=True)])


def best_symmetry(plain: np.ndarray, found: np.ndarray) -> tuple[int, float]:
    """Find the symmetry in which a picture is most like the plain one.

    Args:
        plain: uint8[H, W, C].
        found: uint8[H, W, C].

    Returns:
        Its number, as `dkjax.attacks.symmetry.turned` takes it, and the SSIM in it.
    """
    one, other = _windowed(plain), _windowed(found)
    compared = [(_ssim(one, other.turned(number)), number) for number, _ in symmetries(found)]
    most, number = max(compared, key=lambda pair: pair[0])
    return number, most


def mean_ssim(plain: np.ndarray, seen: np.ndarray) -> float | None:
    """The mean of `ssim` over images, or None for images smaller than the window.

    It says what the eye sees at once, not what an attack can get back.
    """
    if min(plain.shape[1:3]) < WINDOW:
        return None
    return float(ssim(plain, seen).mean())


class _Windowed(NamedTuple):
    """An image, and the means and variances of its windows."""

    image: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    def turned(self, symmetry: int) -> "_Windowed":
        return _Windowed(*(turned(each, symmetry) for each in self))


def _windowed(image: np.ndarray) -> _Windowed:
    image = image.astype(np.float64)
    mean = _windows(image)
    return _Windowed(image, mean, _SAMPLE * (_windows(image * image) - mean * mean))


def _ssim(one: _Windowed, other: _Windowed) -> float:
    covariance = _SAMPLE * (_windows(one.image * other.image) - one.mean * other.mean)
    small = [(0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2]
    brightness = (2 * one.mean * other.mean + small[0]) / (one.mean**2 + other.mean**2 + small[0])
    structure = (2 * covariance + small[1]) / (one.variance + other.variance + small[1])
    inside = WINDOW // 2
    return float((brightness * structure)[inside:-inside, inside:-inside].mean())


def _windows(image: np.ndarray) -> np.ndarray:
    return uniform_filter(image, (WINDOW, WINDOW, 1))
