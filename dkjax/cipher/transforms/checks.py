"""What several transforms refuse, and how they say it."""

import numpy as np

from dkjax.errors import ArgumentError


def check_fixed(name: str, fixed: int, total: int, of_what: str) -> None:
    """Raise `ArgumentError` if more positions are to stay than there are."""
    if fixed > total:
        raise ArgumentError(f"{name}={fixed} is more than the {total} {of_what}: choose 0 to {total}")


def check_uint8(transform: str, dtype: np.dtype | None) -> None:
    """Raise `ArgumentError` for a dtype other than `uint8`; None is one that is not known yet."""
    if dtype is not None and dtype != np.uint8:
        raise ArgumentError(
            f"{transform} changes values of 8 bits: expected uint8 images, got {dtype}; encrypt before converting them"
        )
