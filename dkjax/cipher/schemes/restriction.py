"""How many positions a restricted scheme leaves at their place."""

import operator
from typing import SupportsIndex

from dkjax.errors import ArgumentError


def fixed_positions(name: str, value: SupportsIndex) -> int:
    """Take a count of fixed positions as an `int`; raise `ArgumentError` naming it where it is none."""
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < 0:
        raise ArgumentError(f"{name} must be a whole number, at least 0, got {value!r}")
    return count
