"""Structural similarity: how much of a plain image the eye finds in another."""

import numpy as np
from scipy.ndimage import uniform_filter

from dkjax.attacks.symmetry import symmetries
from dkjax.errors import ArgumentError

WINDOW = 7
"""The side in pixels of the window in which images are compared; no image may be smaller."""

_RANGE = 255


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
    return np.array([_ssim(one, other) for one, other in zip(plain, seen, strict=True)])


def best_turned(plain: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Compare plain images with what came back in the most favourable of its symmetries; as `ssim`."""
    return np.array(
        [max(_ssim(one, turned) for _, turned in symmetries(other)) for one, other in zip(plain, found, strict=True)]
    )


def mean_ssim(plain: np.ndarray, seen: np.ndarray) -> float | None:
    """The mean of `ssim` over images, or None for images smaller than the window.

    It says what the eye sees at once, not what an attack can get back.
    """
    if min(plain.shape[1:3]) < WINDOW:
        return None
    return float(ssim(plain, seen).mean())


def _ssim(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    means = [_windows(one), _windows(other)]
    sample = WINDOW**2 / (WINDOW**2 - 1)
    variances = [
        sample * (_windows(image * image) - mean * mean) for image, mean in zip((one, other), means, strict=True)
    ]
    covariance = sample * (_windows(one * other) - means[0] * means[1])
    small = [(0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2]
    brightness = (2 * means[0] * means[1] + small[0]) / (means[0] ** 2 + means[1] ** 2 + small[0])
    structure = (2 * covariance + small[1]) / (variances[0] + variances[1] + small[1])
    inside = WINDOW // 2
    return float((brightness * structure)[inside:-inside, inside:-inside].mean())


def _windows(image: np.ndarray) -> np.ndarray:
    return uniform_filter(image, (WINDOW, WINDOW, 1))
