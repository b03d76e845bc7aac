"""Which clients take part in a round, and which of their images each step of theirs sees."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ArgumentError
from dkjax.seeds import generator
from dkjax.sources import Records

NO_RECORD = -1
"""Where a batch has no record: the place is masked."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cohort:
    """The clients of one round. Arrays alone, the first axis is the clients'.

    Attributes:
        number: int32[clients], which client, from 0; its randomness is derived from it.
        rows: int32[clients, steps, batch], positions in all records, `NO_RECORD` where there is none.
        steps: int32[clients], how many steps each takes; the rest of `rows` is padding.
        weight: float32[clients], of a client's update in the average.
    """

    number: jax.Array | NDArray[np.int32]
    rows: jax.Array | NDArray[np.int32]
    steps: jax.Array | NDArray[np.int32]
    weight: jax.Array | NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Population:
    """All clients of a federation, and how they take part.

    Attributes:
        parts: the positions of each client's records, int64[n] each; a client may have none.
        batch_size: of the clients' steps; the last batch of an epoch may be smaller.
        local_epochs: passes over its records that a client makes in a round.
        clients_per_round: how many take part; all if None.
        weights: of each client's update; the number of its records if None.
        seed: of the choice of clients and the order of their records.

    Raises:
        ArgumentError: a number out of range, or more clients a round than there are.
    """

    parts: Sequence[NDArray[np.integer]]
    batch_size: int
    local_epochs: int = 1
    clients_per_round: int | None = None
    weights: Sequence[float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "local_epochs"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 1 <= self.chosen <= len(self.parts):
            raise ArgumentError(f"clients_per_round={self.chosen} of {len(self.parts)} clients: choose 1 to that many")

    @property
    def chosen(self) -> int:
        """How many clients take part in a round."""
        return len(self.parts) if self.clients_per_round is None else self.clients_per_round

    @property
    def most_steps(self) -> int:
        """Steps of the client that takes most."""
        return max(1, *(self.local_epochs * self._batches(part) for part in self.parts))

    def cohort(self, round_number: int) -> Cohort:
        """Choose the clients of a round and shuffle their records.

        Args:
            round_number: from 1.

        Returns:
            NumPy arrays of the same shapes in every round.

        Guarantees:
            - a round's cohort depends on the seed and the round alone (`test_cohort.py::test_rounds_are_repeatable`).
            - every record of a chosen client is seen `local_epochs` times
              (`test_cohort.py::test_every_record_is_seen`).
        """
        return self.of(self.chosen_in(round_number), round_number)

    def chosen_in(self, round_number: int) -> NDArray[np.int64]:
        """The clients of a round, from 0, sorted."""
        choice = generator(f"dkjax.federated.clients round {round_number}", self.seed)
        return np.sort(choice.choice(len(self.parts), self.chosen, replace=False))

    def of(self, chosen: Sequence[int] | NDArray[np.integer], round_number: int) -> Cohort:
        """The cohort of given clients; see `cohort`."""
        rows = np.full((len(chosen), self.most_steps, self.batch_size), NO_RECORD, np.int32)
        steps = np.zeros(len(chosen), np.int32)
        for place, client in enumerate(chosen):
            part = self.parts[client]
            order = generator(f"dkjax.federated.order client {client} round {round_number}", self.seed)
            batches = self._batches(part)
            for epoch in range(self.local_epochs):
                padded = np.full(batches * self.batch_size, NO_RECORD, np.int32)
                padded[: len(part)] = order.permutation(part)
                rows[place, epoch * batches : (epoch + 1) * batches] = padded.reshape(batches, self.batch_size)
            steps[place] = self.local_epochs * batches
        weights = [len(part) for part in self.parts] if self.weights is None else self.weights
        # A client without a record has nothing to say.
        weight = [weights[client] if len(self.parts[client]) else 0.0 for client in chosen]
        return Cohort(np.asarray(chosen, np.int32), rows, steps, np.asarray(weight, np.float32))

    def _batches(self, part: NDArray[np.integer]) -> int:
        return math.ceil(len(part) / self.batch_size)


def concatenated(
    clients: Sequence[Records],
) -> tuple[Records, list[NDArray[np.int64]]]:
    """Put the records of all clients in a row.

    Args:
        clients: `image` and `label` of each.

    Returns:
        All records, and each client's positions in them.
    """
    edges = np.cumsum([0, *(len(client["label"]) for client in clients)])
    records: Records = {
        "image": np.concatenate([client["image"] for client in clients]),
        "label": np.concatenate([client["label"] for client in clients]),
    }
    return records, [np.arange(start, stop) for start, stop in itertools.pairwise(edges)]
