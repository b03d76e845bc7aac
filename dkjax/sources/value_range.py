"""Values of more than 8 bits as bytes: which become 0 and 255 is stated, never guessed."""

import numpy as np
from numpy.typing import NDArray

from dkjax.sources.preparation import ValueRange

_PERCENTILES = (1, 99)


def to_bytes(
    values: np.ndarray, value_range: ValueRange, declared: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Bring one image to 8 bits.

    Args:
        values: whole numbers or floats of any shape, one image.
        value_range: the values that become 0 and 255, or how to find them; what lies beyond is cut off.
        declared: the least and the greatest value of the depth that the file declares; that of the dtype if None.

    Returns:
        uint8 of the same shape: `255 (v - low) / (high - low)`, rounded to the nearest, halves to even.

    Raises:
        ValueError: a value is no number, or `bits` is asked of floats, which declare none.

    Guarantees:
        - the values are those of the formula (`tests/sources/test_value_range.py::test_the_values`).
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("some values are no numbers")
    low, high = _ends(values, value_range, declared)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _ends(values: np.ndarray, value_range: ValueRange, declared: tuple[float, float] | None) -> tuple[float, float]:
    if value_range == "percentile":
        low, high = np.percentile(values, _PERCENTILES)
        return float(low), float(high)
    if value_range != "bits":
        return value_range
    if declared is not None:
        return declared
    if values.dtype.kind == "f":
        raise ValueError('floating-point values declare no range: set data.range to two numbers or "percentile"')
    limits = np.iinfo(values.dtype)
    return limits.min, limits.max
