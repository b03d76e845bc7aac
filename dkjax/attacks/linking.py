"""Linking: which of many images is behind an encrypted one.

A permutation of blocks and of the values inside them changes neither the mean nor the deviation of a block. Sorted
over the blocks they are a fingerprint that no key changes. It serves for plain candidates and for other encryptions
alike: two uploads of one image are linked without any plain image.
"""

import numpy as np
from scipy.spatial.distance import cdist

from dkjax.attacks.protocol import Knowledge, Links


class Linking:
    """Finds the candidate with the nearest fingerprint.

    Guarantees:
        - finds images under schemes that move values (`test_linking.py::test_finds_the_plain_image`), and two
          encryptions of one image (`test_linking.py::test_links_two_uploads`).
        - finds no more than chance where values change (`test_linking.py::test_fails_where_values_change`).
    """

    name = "linking"
    needs = frozenset({"candidates"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Links:
        """Name the nearest candidate of each encrypted image."""
        assert knowledge.candidates is not None
        sent = fingerprints(encrypted, knowledge.block_size)
        known = fingerprints(knowledge.candidates, knowledge.block_size)
        return Links(cdist(sent, known, "cityblock").argmin(axis=1))


def fingerprints(images: np.ndarray, block_size: int) -> np.ndarray:
    """Sorted block means and deviations.

    Args:
        images: uint8[n, H, W, C].
        block_size: the side `M` of a block.

    Returns:
        float32[n, 2 N].
    """
    count, height, width, channels = images.shape
    windows = images.reshape(count, height // block_size, block_size, width // block_size, block_size * channels)
    values = windows.astype(np.float32)
    means = values.mean(axis=(2, 4)).reshape(count, -1)
    deviations = values.std(axis=(2, 4)).reshape(count, -1)
    return np.concatenate([np.sort(means, axis=1), np.sort(deviations, axis=1)], axis=1)
