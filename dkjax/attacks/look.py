"""Looking at it: what of a plain image is plain to see after encryption, without any attack."""

import numpy as np

from dkjax.attacks.ssim import WINDOW, ssim
from dkjax.attacks.statistics import Score, estimate, permuted_values


def psnr(plain: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, float64[n], at most 99 (equal images); uint8[n, H, W, C] both."""
    error = ((plain.astype(float) - seen) ** 2).reshape(len(plain), -1).mean(axis=1)
    return np.minimum(99, 10 * np.log10(255**2 / np.maximum(error, 1e-12)))


def entropy(images: np.ndarray) -> np.ndarray:
    """Shannon entropy of each image's histogram in bits a value, float64[n]; 8 for uniform bytes."""
    counts = np.array([np.bincount(image.ravel(), minlength=256) for image in images])
    shares = counts / counts.sum(axis=1, keepdims=True)
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)


def adjacent_correlation(images: np.ndarray) -> np.ndarray:
    """Correlation of horizontally neighbouring values, float64[n]: near 1 in photographs, 0 in noise or flat images."""
    left, right = (part.reshape(len(images), -1).astype(float) for part in (images[:, :, :-1], images[:, :, 1:]))
    left, right = left - left.mean(axis=1, keepdims=True), right - right.mean(axis=1, keepdims=True)
    scale = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    return (left * right).sum(axis=1) / np.maximum(scale, 1e-12)


def mutual_information(plain: np.ndarray, seen: np.ndarray, levels: int = 16) -> np.ndarray:
    """Mutual information of values at the same place in bits, float64[n], over `levels` grey levels.

    Estimated from counts, so a little above zero for independent images: compare it with chance.
    """
    found = []
    for one, other in zip(plain, seen, strict=True):
        joint = (one.ravel().astype(int) * levels // 256) * levels + other.ravel().astype(int) * levels // 256
        shares = np.bincount(joint, minlength=levels**2).reshape(levels, levels) / joint.size
        independent = np.outer(shares.sum(axis=1), shares.sum(axis=0))
        ratio = np.where(shares > 0, shares / np.where(independent > 0, independent, 1), 1)
        found.append((shares * np.log2(ratio)).sum())
    return np.array(found)


def look(plain: np.ndarray, seen: np.ndarray) -> list[Score]:
    """Measure what is plain to see.

    Args:
        plain: uint8[n, H, W, C].
        seen: uint8[n, H, W, C], the encrypted images.

    Returns:
        SSIM (unless images are smaller than its window), PSNR, mutual information, entropy and adjacent correlation.
        Chance is the same values in a random order, the ceiling the plain images themselves.
    """
    noise = permuted_values(plain)
    scores = []
    if min(plain.shape[1:3]) >= WINDOW:
        scores.append(Score("ssim", estimate(ssim(plain, seen)), float(ssim(plain, noise).mean()), 1.0))
    for metric, measure in (("psnr", psnr), ("mutual_information", mutual_information)):
        best = float(measure(plain, plain).mean())
        scores.append(Score(metric, estimate(measure(plain, seen)), float(measure(plain, noise).mean()), best))
    for metric, of_one in (("entropy", entropy), ("adjacent_correlation", adjacent_correlation)):
        values = (float(of_one(images).mean()) for images in (noise, plain))
        scores.append(Score(metric, estimate(of_one(seen)), *values))
    return scores
