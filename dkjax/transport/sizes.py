"""Sizes as people write them."""

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(text: str) -> int:
    """Read a size such as `20GB`, `500MB` or `1000`.

    Raises:
        ValueError: it is none.

    Example:
        >>> parse_bytes("1.5MB")
        1500000
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([KMGT]?B?)", text.strip().upper())
    if match is None or match[2] not in _UNITS or not float(match[1]):
        raise ValueError(f"expected a size such as 500MB or 20GB, got {text!r}")
    return round(float(match[1]) * _UNITS[match[2]])
