"""Numbers as a report shows them."""

import pytest

from dkjax.report.scores import measure, number, principal, wilson


def test_wilson() -> None:
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 20)[1] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00"), (0.001, "0.001"), (-0.004, "-0.004"), (0.996, "1.00"), (15.66, "15.66")],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_measure_that_says_most() -> None:
    assert principal("many-rounds", {"ssim_after_2": {}, "ssim_after_8": {}}) == "ssim_after_8"
    assert principal("puzzle", {"adjacent_correlation": {}}) == "adjacent_correlation"
    assert principal("inverter", {"ssim_equivariant": {}, "ssim_sorted": {}}) == "ssim_equivariant"
    assert measure("ssim_after_8") == "SSIM after 8 rounds"
    assert measure("of_tomorrow") == "of tomorrow"
