"""A training that is evaluated on its way: where its steps are cut."""

import itertools

import pytest

from dkjax.train.run import between_evaluations


@pytest.mark.parametrize(
    ("steps", "evaluations", "edges"),
    [
        (range(32), 2, [0, 16, 32]),
        (range(16), 3, [0, 11, 16]),
        (range(16, 32), 3, [16, 22, 32]),
        (range(3), 10, [0, 1, 2, 3]),
        (range(2, 2), 2, [2]),
    ],
)
def test_evaluations_cut_the_steps(steps: range, evaluations: int, edges: list[int]) -> None:
    total = max(32, steps.stop) if steps.stop != 3 else 3
    parts = between_evaluations(steps, total, evaluations)
    assert parts == [range(*pair) for pair in itertools.pairwise(edges)]
