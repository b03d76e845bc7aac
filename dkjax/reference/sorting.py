"""The steps of sorted blocks, which nothing undoes: rounding, sorting, and counts with noise.

Blocks and parameters are as in `dkjax.reference.transforms`.
"""

import dataclasses
import decimal

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.reference.keystream import bits
from dkjax.reference.transforms import BlockShape, check_uint8


class _OneWay:
    """A step that draws nothing and that nothing undoes."""

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse anything but bytes."""
        check_uint8(dtype)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> None:
        """Draw nothing."""

    def invert(self, parameters: None, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Raise `ArgumentError`."""
        raise ArgumentError("sorted blocks cannot be decrypted: sorting discards where in its block each value was")


@dataclasses.dataclass(frozen=True)
class Quantisation(_OneWay):
    """Value `v`, of level `k = v q // 256`, becomes `255 k // (q - 1)`."""

    levels: int

    def apply(self, parameters: None, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Round the values."""
        return _values(_levels(blocks, self.levels), self.levels)


@dataclasses.dataclass(frozen=True)
class SortedValues(_OneWay):
    """The values of every block in ascending order: all, those of each channel, or pixels by their luminance."""

    order_by: str = "value"

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse anything but bytes where luminance is computed."""
        if self.order_by == "luminance":
            check_uint8(dtype)

    def apply(self, parameters: None, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Sort the values."""
        if self.order_by == "value":
            return np.sort(blocks, axis=2, kind="stable")
        pixels = blocks.reshape(*blocks.shape[:2], -1, shape.channels)
        if self.order_by == "channel":
            return np.sort(pixels, axis=2, kind="stable").reshape(blocks.shape)
        weights = [299, 587, 114] if shape.channels == 3 else [1] * shape.channels
        channels = np.moveaxis(pixels, 3, 0)
        luminance = np.tensordot(np.array(weights), channels.astype(np.int64), axes=1)
        # The last key counts first.
        order = np.lexsort((*channels[::-1], luminance), axis=2)
        return np.take_along_axis(pixels, order[..., None], axis=2).reshape(blocks.shape)


@dataclasses.dataclass(frozen=True)
class NoisyCounts:
    """A block's counts of `q` levels, noise added, written out as sorted values."""

    levels: int
    epsilon: float

    check = _OneWay.check
    invert = _OneWay.invert

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `int64[K, N, q]`."""
        tails = _tails(self.epsilon / 2)
        thresholds = np.array([*tails[::-1], *(2**32 - tail for tail in tails)])
        words = bits(keys, shape.num_blocks * self.levels).astype(np.int64)
        noise = np.searchsorted(thresholds, words, side="right") - len(tails)
        return noise.reshape(len(keys), shape.num_blocks, self.levels)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Count, add the noise, and write the quantiles."""
        levels = _levels(blocks, self.levels)
        counts = np.stack([(levels == level).sum(axis=2) for level in range(self.levels)], axis=2)
        noisy = np.maximum(counts + parameters, 0)
        noisy[~noisy.any(axis=2)] = 1
        ends = noisy.cumsum(axis=2)[:, :, None, :]
        ranks = (2 * np.arange(shape.values) + 1)[:, None]
        return _values((2 * shape.values * ends <= ranks * ends[..., -1:]).sum(axis=3), self.levels)


def _tails(epsilon: float) -> list[int]:
    """For `m = 1, 2, ...`, `floor(2^32 a^m / (1 + a))` with `a = exp(-epsilon)`, as long as it is at least 1."""
    tails: list[int] = []
    with decimal.localcontext(prec=60):
        ratio = (-decimal.Decimal(epsilon)).exp()
        while (tail := 2**32 * ratio ** (len(tails) + 1) / (1 + ratio)) >= 1:
            tails.append(int(tail))
    return tails


def _levels(values: np.ndarray, levels: int) -> np.ndarray:
    return values.astype(np.int64) * levels // 256


def _values(levels: np.ndarray, count: int) -> np.ndarray:
    return (255 * levels // (count - 1)).astype(np.uint8)
