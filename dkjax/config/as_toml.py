"""A resolved configuration as the TOML file that gives it again."""

import json
from collections.abc import Mapping
from typing import Any


def as_toml(config: Mapping[str, Any]) -> str:
    """Write a configuration as TOML.

    Args:
        config: what `dkjax.config.resolved` gave: sections, and lists of sections.

    Returns:
        The text. A key whose value is None is left out, as TOML has no such value and every default that is None is
        taken again.

    Guarantees:
        - read again it is the same configuration (`test_as_toml.py::test_recipes_are_read_again`).
    """
    parts = []
    for name, section in config.items():
        for one in section if isinstance(section, list) else [section]:
            heading = f"[[{name}]]" if isinstance(section, list) else f"[{name}]"
            lines = [f"{_key(key)} = {_value(value)}" for key, value in one.items() if value is not None]
            parts.append("\n".join([heading, *lines]))
    return "\n\n".join(parts) + "\n"


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("-", "_").isidentifier()
    return name if plain else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON writes text and numbers as TOML does, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
