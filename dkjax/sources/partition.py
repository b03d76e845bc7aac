"""Deal the training records out among clients, evenly or with the skews that federated learning is tested on.

Every function here is pure: the labels and a seed decide. The random stream is used for nothing else.
"""

import difflib

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.seeds import generator

KINDS = ("iid", "dirichlet", "shards")

Parts = list[NDArray[np.int64]]


def partition(
    kind: str,
    labels: np.ndarray,
    num_clients: int,
    *,
    alpha: float = 0.5,
    shards_per_client: int = 2,
    seed: int = 0,
) -> Parts:
    """Deal records out among clients.

    Args:
        kind: `iid`, `dirichlet` or `shards`.
        labels: integers [n], the label of each record.
        num_clients: how many clients.
        alpha: for `dirichlet`, how even the classes are (small: skewed).
        shards_per_client: for `shards`, how many pieces of the sorted data each client gets.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ConfigError: an unknown kind.
        ArgumentError: a number out of range.
        DataError: a client would be without a single record.

    Guarantees, for every kind:
        - Disjoint, complete, sorted, no client empty
          (`tests/sources/test_partition.py::test_every_record_has_one_client`).
        - The same labels and seed give the same parts (`tests/sources/test_partition.py::test_parts_are_stored`).
    """
    if kind == "iid":
        return iid(labels, num_clients, seed)
    if kind == "dirichlet":
        return dirichlet(labels, num_clients, alpha, seed)
    if kind == "shards":
        return shards(labels, num_clients, shards_per_client, seed)
    nearest = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(f"partition must be one of {', '.join(KINDS)}, got {kind!r}{hint}")


def iid(labels: np.ndarray, num_clients: int, seed: int) -> Parts:
    """Deal records out at random, in parts whose sizes differ by one at most.

    Args:
        labels: integers [n].
        num_clients: how many clients.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` below 1, or labels that are not one-dimensional integers.
        DataError: fewer records than clients.

    Guarantees:
        Sizes differ by one at most (`tests/sources/test_partition.py::test_iid_sizes_are_even`).
    """
    labels = _checked(labels, num_clients)
    order = generator("dkjax.data.partition.iid", seed).permutation(len(labels))
    return _finished(np.array_split(order, num_clients), "use fewer clients or more data")


def dirichlet(labels: np.ndarray, num_clients: int, alpha: float, seed: int) -> Parts:
    """Give each client a share of every class drawn from a Dirichlet distribution.

    For each class the clients' shares are one draw from Dirichlet(alpha, ..., alpha): a large alpha gives everyone
    the same mixture, a small one leaves most clients with a few classes (Hsu, Qi, Brown, arXiv 1909.06335).

    Args:
        labels: integers [n].
        num_clients: how many clients.
        alpha: the concentration, above 0.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` below 1, alpha not positive and finite, or unusable labels.
        DataError: a client would be without a single record.

    Guarantees:
        A smaller alpha is more skewed (`tests/sources/test_partition.py::test_smaller_alpha_is_more_skewed`).
    """
    labels = _checked(labels, num_clients)
    if not (np.isfinite(alpha) and alpha > 0):
        raise ArgumentError(f"alpha must be above 0 and finite, got {alpha}")
    random = generator("dkjax.data.partition.dirichlet", seed)
    owner = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        shares = random.dirichlet(np.full(num_clients, float(alpha)))
        # Rounding the running sum, not each share, deals out every record whatever the rounding does.
        ends = np.rint(np.cumsum(shares)[:-1] * members.size).astype(np.int64)
        for client, piece in enumerate(np.split(members, ends)):
            owner[piece] = client
    parts = [np.flatnonzero(owner == client) for client in range(num_clients)]
    return _finished(parts, f"use an alpha larger than {alpha:g}, fewer clients, or another seed")


def shards(labels: np.ndarray, num_clients: int, shards_per_client: int, seed: int) -> Parts:
    """Sort the records by label, cut them into shards, and deal each client the same number of shards.

    The records of a class are in random order before the cut (McMahan et al., arXiv 1602.05629, section 3, with two
    shards a client).

    Args:
        labels: integers [n].
        num_clients: how many clients.
        shards_per_client: how many shards each gets.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` or `shards_per_client` below 1, or unusable labels.
        DataError: a client would be without a single record.

    Guarantees:
        With equal classes and shards that divide them, a client sees `shards_per_client` classes at most
        (`tests/sources/test_partition.py::test_shards_bound_the_classes`).
    """
    labels = _checked(labels, num_clients)
    if shards_per_client < 1:
        raise ArgumentError(f"shards_per_client must be at least 1, got {shards_per_client}")
    random = generator("dkjax.data.partition.shards", seed)
    shuffled = random.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    pieces = np.array_split(by_label, num_clients * shards_per_client)
    hands = random.permutation(len(pieces)).reshape(num_clients, shards_per_client)
    parts = [np.concatenate([pieces[piece] for piece in hand]) for hand in hands]
    return _finished(parts, "use fewer clients, fewer shards_per_client, or more data")


def _checked(labels: np.ndarray, num_clients: int) -> NDArray[np.integer]:
    """Check what every kind of partition needs."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ArgumentError(f"labels must be integers of shape [n], got {labels.dtype}{list(labels.shape)}")
    if num_clients < 1:
        raise ArgumentError(f"num_clients must be at least 1, got {num_clients}")
    return labels


def _finished(parts: list[np.ndarray], remedy: str) -> Parts:
    """Sort each part, and refuse a partition that leaves a client without a record."""
    empty = [client for client, part in enumerate(parts, start=1) if not part.size]
    if empty:
        named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        which = f"client {named}" if len(empty) == 1 else f"clients {named}"
        total = sum(part.size for part in parts)
        raise DataError(f"{which} (of 1 to {len(parts)}) would be without a single image of the {total}; {remedy}")
    return [np.sort(part).astype(np.int64) for part in parts]
