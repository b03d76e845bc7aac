"""Cut a set of records into training and test records where nobody has done so yet."""

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError


def generator(domain: str, seed: int) -> np.random.Generator:
    """Return the random stream of one purpose.

    Args:
        domain: the purpose; two purposes never share a stream, whatever their seeds.
        seed: a whole number, zero or above.

    Returns:
        A PCG64 generator that depends on both.

    Raises:
        ArgumentError: the seed is negative or no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed must be a whole number, zero or above, got {seed!r}")
    # The domain as a spawn key, one byte a word: no other seed, and no `spawn` of this one, arrives at the same state.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(seed), spawn_key=tuple(domain.encode()))))


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
        - Disjoint, complete, sorted (`tests/data/test_split.py::test_split_is_a_partition`).
        - Both sides have every class of two records or more, each within one record of its share
          (`tests/data/test_split.py::test_every_class_is_on_both_sides`).
        - The same labels and seed give the same split (`tests/data/test_split.py::test_split_is_stored`).
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
