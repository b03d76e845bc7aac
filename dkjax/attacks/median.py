"""Median: what a filter gets back that knows nothing of encryption. What is learned must do better."""

import numpy as np
from scipy.ndimage import median_filter

from dkjax.attacks.protocol import Knowledge, Reconstruction


class Median:
    """Shows the median of 3 x 3 values of each channel, which leaves out a value that is out of its place.

    Guarantees:
        - values that were moved one by one are left out (`test_median.py::test_moved_values_are_left_out`).
    """

    name = "median"
    needs: frozenset[str] = frozenset()

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Filter each channel of each image."""
        return Reconstruction(median_filter(encrypted, (1, 3, 3, 1)))
