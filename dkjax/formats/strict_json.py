"""JSON that may come from a stranger: read so that every reader would read the same, or refused."""

import json
from typing import Any

_MAX_NAMES = 64
"""The names of one object. The lists that a validator makes of what it does not like stay as short as this."""


def parse(data: bytes) -> Any:
    """Read JSON text.

    Args:
        data: the bytes, in UTF-8; how many they may be is for the caller to bound.

    Returns:
        The value.

    Raises:
        ValueError: it is not JSON as RFC 8259 has it, an object has one name twice or very many, or it is nested too
            deeply. The text of the error may be long and of several lines; see `one_line`.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def one_line(text: str, limit: int = 300) -> str:
    """Make an error's text fit for a terminal: one line, of bounded length, without control characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: 2 * limit])
    line = " ".join(line.split())
    return line if len(line) <= limit else line[:limit] + "..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MAX_NAMES:
        raise ValueError(f"an object of {len(pairs)} names")
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object with one name twice")
    return value


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
