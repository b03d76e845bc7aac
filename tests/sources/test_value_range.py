"""Values of more than 8 bits become bytes by the formula that the page states."""

import numpy as np
import pytest

from dkjax.sources.value_range import to_bytes


def test_the_values() -> None:
    values = np.array([[-5, 0, 1000, 2048, 4095, 5000]], np.int16)
    np.testing.assert_array_equal(to_bytes(values, (0, 4095)), [[0, 0, 62, 128, 255, 255]])
    np.testing.assert_array_equal(to_bytes(values, (1000.0, 2000.0)), [[0, 0, 0, 255, 255, 255]])
    np.testing.assert_array_equal(to_bytes(values, "bits", (0, 4095)), to_bytes(values, (0, 4095)))
    np.testing.assert_array_equal(to_bytes(np.array([-32768, 0, 32767], np.int16), "bits"), [0, 128, 255])
    np.testing.assert_array_equal(to_bytes(np.arange(256, dtype=np.uint8), "bits"), np.arange(256))
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_bytes(every, "bits"), np.rint(every / 65535 * 255))


def test_percentiles_leave_out_what_is_rare() -> None:
    values = np.append(np.full(9998, 100), [0, 60000]).astype(np.uint16)
    assert set(to_bytes(values, "percentile")) == {0}  # a flat picture has no range
    values = np.append(np.arange(1000, 2000).repeat(10), [0, 60000]).astype(np.uint16)
    low, high = np.percentile(values, [1, 99])
    np.testing.assert_array_equal(
        to_bytes(values, "percentile"), np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
    )


def test_what_has_no_range() -> None:
    with pytest.raises(ValueError, match="declare no range"):
        to_bytes(np.zeros(3, np.float32), "bits")
    with pytest.raises(ValueError, match="are no numbers"):
        to_bytes(np.array([0, np.nan]), (0, 1))
