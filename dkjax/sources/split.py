"""Cut a set of records into training and test records where nobody has done so yet."""

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError
from dkjax.seeds import generator


def stratified_split(
    labels: np.ndarray, test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split records at random so that each class has the same share of test records.

    Args:
        labels: integers [n].
        test_fraction: the share of each class that is for testing, above 0 and below 1.
        seed: which of the possible splits.

    Returns:
        The positions of the training and of the test records, both int64, sorted. A class with a single record is
        trained on only.

    Raises:
        ArgumentError: a fraction outside (0, 1), labels that are not one-dimensional integers, or a negative seed.

    Guarantees:
        - Disjoint, complete, sorted (`tests/sources/test_split.py::test_split_is_a_partition`).
        - Both sides have every class of two records or more, each within one record of its share
          (`tests/sources/test_split.py::test_every_class_is_on_both_sides`).
        - The same labels and seed give the same split (`tests/sources/test_split.py::test_split_is_stored`).
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ArgumentError(f"labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}")
    if not 0 < test_fraction < 1:
        raise ArgumentError(f"test_fraction must be above 0 and below 1, got {test_fraction}")
    random = generator("dkjax.data.split", seed)
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        if members.size >= 2:
            wanted = round(test_fraction * members.size)
            is_test[members[: min(max(wanted, 1), members.size - 1)]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)
