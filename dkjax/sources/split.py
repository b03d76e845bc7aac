"""Cut a set of records into training and test records where nobody has done so yet."""

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError
from dkjax.seeds import generator


def grouped_split(
    labels: np.ndarray, groups: np.ndarray, test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split records at random so that no group is on both sides, and classes have about the same share of test records.

    Groups are gone through in a random order; one becomes test records if that brings the classes nearer to their
    shares.

    Args:
        labels: integers [n].
        groups: integers [n], the same for records that belong together, such as all pictures of a patient.
        test_fraction: the share of each class that is for testing, above 0 and below 1.
        seed: which of the possible splits.

    Returns:
        The positions of the training and of the test records, both int64, sorted; none for testing if there is only
        one group.

    Raises:
        ArgumentError: as `stratified_split`.

    Guarantees:
        - No group is on both sides (`tests/sources/test_split.py::test_groups_are_not_divided`).
        - Both sides have about their share (`tests/sources/test_split.py::test_grouped_shares`).
    """
    labels = _checked(labels, test_fraction)
    random = generator("dkjax.data.grouped split", seed)
    classes, class_of = np.unique(labels, return_inverse=True)
    numbers, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), len(classes)), np.int64)
    np.add.at(counts, (group_of, class_of), 1)
    wanted = test_fraction * counts.sum(0)
    test = np.zeros(len(classes))
    is_test = np.zeros(len(numbers), bool)
    for group in random.permutation(len(numbers)):
        if np.abs(test + counts[group] - wanted).sum() < np.abs(test - wanted).sum():
            test += counts[group]
            is_test[group] = True
    if len(numbers) > 1:
        # Neither side without a group.
        if not is_test.any():
            is_test[np.argmin(counts.sum(1))] = True
        elif is_test.all():
            is_test[np.argmax(counts.sum(1))] = False
    return np.flatnonzero(~is_test[group_of]), np.flatnonzero(is_test[group_of])


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
    labels = _checked(labels, test_fraction)
    random = generator("dkjax.data.split", seed)
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        if members.size >= 2:
            wanted = round(test_fraction * members.size)
            is_test[members[: min(max(wanted, 1), members.size - 1)]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _checked(labels: np.ndarray, test_fraction: float) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ArgumentError(f"labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}")
    if not 0 < test_fraction < 1:
        raise ArgumentError(f"test_fraction must be above 0 and below 1, got {test_fraction}")
    return labels
