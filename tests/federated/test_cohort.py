"""Which clients take part, and which of their records each step sees."""

import numpy as np
import pytest
from small_federation import population

from dkjax.errors import ArgumentError
from dkjax.federated.cohort import NO_RECORD, concatenated


def test_every_record_is_seen() -> None:
    clients = population(5, 0, 3, 8, local_epochs=2)
    cohort = clients.cohort(1)
    np.testing.assert_array_equal(cohort.number, range(4))
    np.testing.assert_array_equal(cohort.steps, [4, 0, 2, 4])
    np.testing.assert_array_equal(cohort.weight, [5, 0, 3, 8])
    for rows, steps, part in zip(cohort.rows, cohort.steps, clients.parts, strict=True):
        assert (rows[steps:] == NO_RECORD).all()
        for epoch in np.split(rows[:steps], 2) if steps else ():
            np.testing.assert_array_equal(np.sort(epoch[epoch != NO_RECORD]), part)
            assert (epoch[:-1] != NO_RECORD).all()


def test_rounds_are_repeatable() -> None:
    clients = population(*[6] * 20, clients_per_round=3)
    rounds = [clients.cohort(number) for number in range(1, 9)]
    for number, cohort in enumerate(rounds, start=1):
        again = clients.cohort(number)
        np.testing.assert_array_equal(cohort.rows, again.rows)
        np.testing.assert_array_equal(cohort.number, again.number)
        assert len(set(cohort.number.tolist())) == 3
        assert cohort.rows.shape == (3, 2, 4)
    assert len({tuple(cohort.number) for cohort in rounds}) > 5
    other = population(*[6] * 20, clients_per_round=3, seed=1)
    assert [other.cohort(number).number.tolist() for number in range(1, 9)] != [one.number.tolist() for one in rounds]


def test_weights_of_the_callers_own() -> None:
    np.testing.assert_array_equal(population(5, 0, 3, weights=[1, 1, 1]).cohort(1).weight, [1, 0, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"clients_per_round": 3}, "clients_per_round=3 of 2 clients: choose 1 to that many"),
        ({"clients_per_round": 0}, "clients_per_round=0 of 2"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"local_epochs": 0}, "local_epochs must be at least 1, got 0"),
    ],
)
def test_wrong_numbers(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        population(3, 4, **wrong)


def test_records_of_all_clients_in_a_row() -> None:
    clients = [{"image": np.full((n, 1), n), "label": np.full(n, n)} for n in (2, 0, 3)]
    found, parts = concatenated(clients)
    assert [part.tolist() for part in parts] == [[0, 1], [], [2, 3, 4]]
    np.testing.assert_array_equal(found["label"], [2, 2, 3, 3, 3])
