"""Deal the training records out among clients, evenly or with the skews that federated learning is tested on.

Every function here is pure: the labels and a seed decide. The random stream is used for nothing else. Given the same
draws, flwr-datasets assigns the same records, but for roundings (`test_partition_beside_flwr.py`).
"""

import difflib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.seeds import generator

KINDS = ("iid", "dirichlet", "shards", "pathological", "quantity")

_ATTEMPTS = 10
"""Draws until every client has enough records; flwr-datasets draws once more."""

Parts = list[NDArray[np.int64]]


def partition(
    kind: str,
    labels: np.ndarray,
    num_clients: int,
    *,
    alpha: float = 0.5,
    shards_per_client: int = 2,
    num_classes_per_partition: int = 2,
    min_partition_size: int = 1,
    seed: int = 0,
) -> Parts:
    """Deal records out among clients.

    Args:
        kind: one of `KINDS`.
        labels: integers [n], the label of each record.
        num_clients: how many clients.
        alpha: for `dirichlet`, how even the classes are (small: skewed); for `quantity`, the sizes.
        shards_per_client: for `shards`, how many pieces of the sorted data each client gets.
        num_classes_per_partition: for `pathological`, how many classes each client sees.
        min_partition_size: the fewest records of a client; `dirichlet` and `quantity` are drawn up to ten times for it.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ConfigError: an unknown kind.
        ArgumentError: a number out of range.
        DataError: a client would have fewer records than it must.

    Guarantees, for every kind:
        - Disjoint, complete, sorted, no client below the minimum
          (`tests/sources/test_partition.py::test_every_record_has_one_client`).
        - The same labels and seed give the same parts (`tests/sources/test_partition.py::test_parts_are_stored`).
    """
    if min_partition_size < 1:
        raise ArgumentError(f"min_partition_size must be at least 1, got {min_partition_size}")
    if kind == "iid":
        return _at_least(min_partition_size, iid(labels, num_clients, seed))
    if kind == "dirichlet":
        return dirichlet(labels, num_clients, alpha, seed, min_partition_size)
    if kind == "shards":
        return _at_least(min_partition_size, shards(labels, num_clients, shards_per_client, seed))
    if kind == "pathological":
        return _at_least(min_partition_size, pathological(labels, num_clients, num_classes_per_partition, seed))
    if kind == "quantity":
        return quantity(labels, num_clients, alpha, seed, min_partition_size)
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


def dirichlet(labels: np.ndarray, num_clients: int, alpha: float, seed: int, min_partition_size: int = 1) -> Parts:
    """Give each client a share of every class drawn from a Dirichlet distribution.

    For each class the clients' shares are one draw from Dirichlet(alpha, ..., alpha): a large alpha gives everyone
    the same mixture, a small one leaves most clients with a few classes (Hsu, Qi, Brown, arXiv 1909.06335).

    Args:
        labels: integers [n].
        num_clients: how many clients.
        alpha: the concentration, above 0.
        seed: which of the possible partitions.
        min_partition_size: the fewest records of a client; shares are drawn up to ten times for it.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` below 1, alpha not positive and finite, or unusable labels.
        DataError: a client would have fewer records than it must.

    Guarantees:
        A smaller alpha is more skewed (`tests/sources/test_partition.py::test_smaller_alpha_is_more_skewed`).
    """
    labels = _checked(labels, num_clients)
    _check_alpha(alpha)
    random = generator("dkjax.data.partition.dirichlet", seed)

    def draw() -> list[np.ndarray]:
        owner = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            for client, piece in enumerate(_in_shares(members, num_clients, alpha, random)):
                owner[piece] = client
        return [np.flatnonzero(owner == client) for client in range(num_clients)]

    return _large_enough(draw, alpha, min_partition_size)


def quantity(labels: np.ndarray, num_clients: int, alpha: float, seed: int, min_partition_size: int = 1) -> Parts:
    """Give the clients unlike numbers of records of the same mixture: their shares are one draw from Dirichlet(alpha).

    Args:
        labels: integers [n].
        num_clients: how many clients.
        alpha: the concentration, above 0 (small: unlike sizes).
        seed: which of the possible partitions.
        min_partition_size: the fewest records of a client; shares are drawn up to ten times for it.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` below 1, alpha not positive and finite, or unusable labels.
        DataError: a client would have fewer records than it must.

    Guarantees:
        A smaller alpha makes sizes less alike (`tests/sources/test_partition.py::test_quantities_differ`).

    Source: Li et al., "Federated Learning on Non-IID Data Silos", arXiv 2102.02079, section IV-D.
    """
    labels = _checked(labels, num_clients)
    _check_alpha(alpha)
    random = generator("dkjax.data.partition.quantity", seed)
    order = random.permutation(len(labels))
    return _large_enough(lambda: _in_shares(order, num_clients, alpha, random), alpha, min_partition_size)


def pathological(labels: np.ndarray, num_clients: int, num_classes_per_partition: int, seed: int) -> Parts:
    """Let every client see a few classes alone, and divide each class evenly among the clients that see it.

    Classes are dealt round and round in a random order, so that every class has a client. `PathologicalPartitioner` in
    flwr-datasets divides classes alike, but draws them for each client, and leaves out the records of those not drawn.

    Args:
        labels: integers [n].
        num_clients: how many clients.
        num_classes_per_partition: how many classes each client sees.
        seed: which of the possible partitions.

    Returns:
        One int64 array of sorted positions a client.

    Raises:
        ArgumentError: `num_clients` below 1, unusable labels, or not 1 to as many classes as there are.
        DataError: a class would have no client, or a client would be without a single record.

    Guarantees:
        Every client sees so many classes where records suffice
        (`tests/sources/test_partition.py::test_pathological_classes`).
    """
    labels = _checked(labels, num_clients)
    random = generator("dkjax.data.partition.pathological", seed)
    classes = random.permutation(np.unique(labels))
    if not 1 <= num_classes_per_partition <= max(1, classes.size):
        raise ArgumentError(
            f"num_classes_per_partition={num_classes_per_partition} is not between 1 and the {classes.size} classes"
        )
    if num_clients * num_classes_per_partition < classes.size:
        raise DataError(
            f"{num_clients} clients of {num_classes_per_partition} classes leave records of some of the {classes.size} "
            "classes without a single image's client; use more clients or a larger num_classes_per_partition"
        )
    hands: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
    for place, label in enumerate(classes):
        turns = np.arange(num_clients * num_classes_per_partition)
        seeing = turns[turns % classes.size == place] // num_classes_per_partition
        members = random.permutation(np.flatnonzero(labels == label))
        for client, piece in zip(seeing, np.array_split(members, len(seeing)), strict=True):
            hands[client].append(piece)
    parts = [np.concatenate([np.empty(0, np.int64), *hand]) for hand in hands]
    return _finished(parts, "use fewer clients or more data")


def natural_id(ids: Sequence[str], min_partition_size: int = 1) -> dict[str, NDArray[np.int64]]:
    """Give every client the records of one site, camera or whatever else told them apart before.

    As `NaturalIdPartitioner` in flwr-datasets; ids are names here, so that 10 precedes 9.

    Args:
        ids: of each record.
        min_partition_size: the fewest records of a client.

    Returns:
        One int64 array of sorted positions for each id; nothing is drawn.

    Raises:
        DataError: a client would have fewer records than it must.

    Guarantees:
        Disjoint, complete, one id a client (`tests/sources/test_partition.py::test_natural_ids_are_not_mixed`).
    """
    names, owner = np.unique(np.asarray(ids, object).astype(str), return_inverse=True)
    parts = [np.flatnonzero(owner == client).astype(np.int64) for client in range(len(names))]
    remedy = "use a smaller min_partition_size, or leave those images out"
    return dict(zip(map(str, names), _at_least(min_partition_size, parts, remedy), strict=True))


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


def _in_shares(
    records: NDArray[np.int64], num_clients: int, alpha: float, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Cut records by shares drawn from Dirichlet(alpha, ..., alpha)."""
    shares = random.dirichlet(np.full(num_clients, float(alpha)))
    # Rounding the running sum, not each share, deals out every record whatever the rounding does.
    ends = np.rint(np.cumsum(shares)[:-1] * records.size).astype(np.int64)
    return np.split(records, ends)


def _check_alpha(alpha: float) -> None:
    if not (np.isfinite(alpha) and alpha > 0):
        raise ArgumentError(f"alpha must be above 0 and finite, got {alpha}")


def _large_enough(draw: Callable[[], list[np.ndarray]], alpha: float, fewest: int) -> Parts:
    """Return the first of some draws from Dirichlet(alpha) in which every client has enough records, or refuse."""
    for _ in range(_ATTEMPTS):
        parts = draw()
        if min(part.size for part in parts) >= fewest:
            break
    remedy = f"use an alpha larger than {alpha:g}, fewer clients, or another seed"
    return _at_least(fewest, _finished(parts, remedy), remedy)


def _at_least(fewest: int, parts: Parts, remedy: str = "use fewer clients or more data") -> Parts:
    """Refuse a partition with clients of fewer records."""
    sizes = [part.size for part in parts]
    if min(sizes) < fewest:
        client = int(np.argmin(sizes)) + 1
        raise DataError(
            f"client {client} (of 1 to {len(parts)}) would have {min(sizes)} images, and min_partition_size={fewest}; "
            f"{remedy}"
        )
    return parts


def _finished(parts: list[np.ndarray], remedy: str) -> Parts:
    """Sort each part, and refuse a partition that leaves a client without a record."""
    empty = [client for client, part in enumerate(parts, start=1) if not part.size]
    if empty:
        named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        which = f"client {named}" if len(empty) == 1 else f"clients {named}"
        total = sum(part.size for part in parts)
        raise DataError(f"{which} (of 1 to {len(parts)}) would be without a single image of the {total}; {remedy}")
    return [np.sort(part).astype(np.int64) for part in parts]
