"""The order of the training records: a pure function of a seed and the step."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ConfigError
from dkjax.seeds import generator

StepOrder = Callable[[int], NDArray[np.int64]]
"""The records of a training step, int64[batch_size]; steps are counted from 0."""


def uniform_order(num_records: int, batch_size: int, seed: int) -> StepOrder:
    """Use every record equally often.

    Args:
        num_records: how many records there are.
        batch_size: records in a step.
        seed: of the order.

    Returns:
        `batch_indices` of these arguments.
    """
    return functools.partial(batch_indices, num_records, batch_size, seed)


def weighted_order(
    pieces: Sequence[tuple[str, int]], weights: Mapping[str, float], batch_size: int, seed: int
) -> StepOrder:
    """Use the records of each client in proportion to its weight, whatever their number.

    An epoch has as many positions as there are records. Each client has a share of them in proportion to its weight,
    rounded by largest remainder, and fills it from an endless stream of its own: all its records in one random order,
    then in another, continued from epoch to epoch. Then the epoch is shuffled.

    Args:
        pieces: the client and the number of records of each piece, in the order of the records. A client may have
            several pieces.
        weights: of each client, above 0; only their proportions matter.
        batch_size: records in a step.
        seed: of the order.

    Returns:
        The order. The same arguments give the same one on every machine.

    Raises:
        ConfigError: a weight so small that its client would never be used.

    Guarantees:
        - in every epoch each client has its share of the positions, within one
          (`test_order.py::test_shares_are_as_asked_for`).
        - at the end of any epoch, all records of a client have been used equally often, within one
          (`test_order.py::test_every_record_of_a_client_equally_often`).
        - any step can be computed alone (`test_order.py::test_any_step_on_its_own`).
    """
    num_records = sum(count for _, count in pieces)
    positions = _positions(pieces)
    places = _largest_remainders({client: weights[client] for client in positions}, num_records)
    if never := [client for client, count in places.items() if not count]:
        raise ConfigError(
            f"the weight of {never[0]}, {weights[never[0]]}, is not one in {num_records} images: raise it, or leave "
            "that data set out"
        )

    @functools.lru_cache(maxsize=2)
    def epoch_order(epoch: int) -> NDArray[np.int64]:
        seen = [
            own[_stream(client, len(own), seed, epoch * places[client], (epoch + 1) * places[client])]
            for client, own in positions.items()
        ]
        return np.concatenate(seen)[_epoch_order(num_records, seed, epoch)]

    return lambda step: _batch(epoch_order, num_records, batch_size, step)


def batch_indices(num_records: int, batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Return the records of a training step, if all are used equally often.

    Epochs are concatenated: a batch may contain the end of one and the beginning of the next, so every record is used
    equally often and no batch is short.

    Args:
        num_records: how many records there are.
        batch_size: how many a step sees.
        seed: of the order.
        step: which step, from 0.

    Returns:
        `int64[batch_size]`, indices of records. The same arguments give the same order on every machine.

    Guarantees:
        - in any epoch every record is used once (`test_order.py::test_every_record_once_an_epoch`).
    """
    return _batch(lambda epoch: _epoch_order(num_records, seed, epoch), num_records, batch_size, step)


def _batch(
    epoch_order: Callable[[int], NDArray[np.int64]], num_records: int, batch_size: int, step: int
) -> NDArray[np.int64]:
    """Slice a step's records out of the concatenated epochs."""
    first = step * batch_size
    epochs, places = np.divmod(np.arange(first, first + batch_size), num_records)
    indices = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = epoch_order(int(epoch))[places[here]]
    return indices


@functools.lru_cache(maxsize=4)
def _epoch_order(num_records: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch)))).permutation(num_records)


def _positions(pieces: Sequence[tuple[str, int]]) -> dict[str, NDArray[np.int64]]:
    """Collect the positions of each client's records; clients without any are omitted."""
    ranges: dict[str, list[NDArray[np.int64]]] = {}
    first = 0
    for client, count in pieces:
        if count:
            ranges.setdefault(client, []).append(np.arange(first, first + count))
        first += count
    return {client: np.concatenate(own) for client, own in ranges.items()}


def _stream(client: str, num_records: int, seed: int, start: int, stop: int) -> NDArray[np.int64]:
    """Return part of the endless stream of a client's own records, epoch after epoch."""
    epochs = range(start // num_records, -(-stop // num_records))
    orders = [generator(f"dkjax.data.sampling {epoch} {client}", seed).permutation(num_records) for epoch in epochs]
    return np.concatenate(orders)[start - epochs.start * num_records : stop - epochs.start * num_records]


def _largest_remainders(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Divide `total` in proportion to the weights, so that the parts add up to it."""
    scale = total / sum(weights.values())
    parts = {name: int(weight * scale) for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: parts[name] - weights[name] * scale)
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts
