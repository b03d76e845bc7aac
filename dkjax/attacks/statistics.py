"""Numbers with their uncertainty, beside what chance and the best case give. Nothing here knows an attack."""

import dataclasses

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.seeds import generator


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over images and its bootstrap interval.

    Attributes:
        mean: the mean.
        low: the 2.5th percentile of means of images drawn with replacement.
        high: the 97.5th.
        images: how many images there were.
    """

    mean: float
    low: float
    high: float
    images: int


@dataclasses.dataclass(frozen=True)
class Score:
    """How far an attack came by one measure.

    Attributes:
        metric: the measure.
        reached: what the attack reached.
        chance: what somebody who knows nothing reaches in the mean; None where that has no meaning.
        ceiling: the best that is possible; None likewise.
    """

    metric: str
    reached: Estimate
    chance: float | None = None
    ceiling: float | None = None


def estimate(values: np.ndarray, draws: int = 1000, seed: int = 0) -> Estimate:
    """Estimate a mean over images, with a 95 % percentile bootstrap interval (Efron 1979).

    Args:
        values: float[n], one value for each image.
        draws: how many samples of `n` images are drawn with replacement.
        seed: of the draws.

    Returns:
        The estimate; of one image the interval is that image's value.

    Raises:
        ArgumentError: there is no value, or one is not finite.

    Guarantees:
        - the interval holds the true mean about as often as it says (`test_statistics.py::test_coverage`).
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ArgumentError(f"expected a finite value for each of at least one image, got {values.tolist()[:5]}")
    rng = generator("dkjax.attacks.bootstrap", seed)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def mean_image(images: np.ndarray) -> np.ndarray:
    """What somebody says who knows the kind of images and nothing else: their mean, as often as there are images.

    Args:
        images: uint8[n, H, W, C], plain.

    Returns:
        uint8[n, H, W, C].
    """
    mean = np.rint(images.mean(axis=0)).astype(images.dtype)
    return np.broadcast_to(mean, images.shape)


def permuted_values(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """All values of each image in a random order: its histogram and nothing else.

    Args:
        images: uint8[n, H, W, C], plain.
        seed: of the order.

    Returns:
        uint8[n, H, W, C].
    """
    rng = generator("dkjax.attacks.permuted", seed)
    return rng.permuted(images.reshape(len(images), -1), axis=1).reshape(images.shape)
