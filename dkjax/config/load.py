"""Configurations from TOML: read, overridden, checked, explained where they are wrong, and hashed."""

import difflib
import hashlib
import json
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel

from dkjax.config.recipes import recipes
from dkjax.config.schema import EncryptConfig, PlanConfig, Section, ServerConfig, SimulationConfig
from dkjax.errors import ConfigError, nearest
from dkjax.runtime.files import special_file

_KINDS: tuple[type[Section], ...] = (SimulationConfig, EncryptConfig, ServerConfig, PlanConfig)
_Kind = TypeVar("_Kind", bound=Section)


def load_config(path: Path, overrides: Sequence[str] = ()) -> SimulationConfig:
    """Read a simulation's configuration; see `load_as`."""
    return load_as(SimulationConfig, path, overrides)


def load_as(kind: type[_Kind], path: Path | None, overrides: Sequence[str] = (), **given: Mapping[str, Any]) -> _Kind:
    """Read a configuration from a TOML file and apply overrides.

    Args:
        kind: which configuration. One file serves all commands: sections that only another kind knows are passed over,
            but a simulation passes over nothing.
        path: the TOML file, or the name of a recipe that comes along, where there is no file of that name; None for
            defaults alone.
        overrides: `section.key=value` each; the value is read as TOML, or as text where it is not TOML. Arms are
            counted from 0, as in `arms.1.fixed_blocks=12`.
        **given: values of a section that come from elsewhere, such as `data={"source": "digits"}`; they win over
            file and overrides.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or does not say something usable; one line that names the
            key and the way out.
    """
    tree = {} if path is None else _read_toml(path)
    for override in overrides:
        _override(tree, override)
    for section, values in given.items():
        if not isinstance(tree.setdefault(section, {}), dict):
            raise ConfigError(f"{path}: {section} must be a section, [{section}]")
        tree[section].update(values)
    if kind is not SimulationConfig:
        of_others = {name for other in _KINDS for name in other.model_fields} - set(kind.model_fields)
        tree = {name: value for name, value in tree.items() if name not in of_others}
    return parse_as(kind, tree, "configuration" if path is None else str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    if (kind := special_file(path)) is not None:
        raise ConfigError(f"{path} is {kind}; expected a TOML file")
    try:
        if str(path) in recipes() and not path.is_file():
            return tomllib.loads(recipes()[str(path)].text)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        close = difflib.get_close_matches(path.stem, recipes(), n=1)
        hint = f"did you mean the recipe {close[0]}?" if close else "dkjax recipes lists those that come along"
        raise ConfigError(f"there is no configuration {path}; {hint}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def parse_config(tree: dict[str, Any], where: str = "configuration") -> SimulationConfig:
    """Check a simulation's configuration given as plain values; see `parse_as`."""
    return parse_as(SimulationConfig, tree, where)


def parse_as(kind: type[_Kind], tree: dict[str, Any], where: str = "configuration") -> _Kind:
    """Check a configuration given as plain values.

    Args:
        kind: which configuration.
        tree: sections and their keys, as TOML gives them.
        where: what to call it in errors.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: as `load_as`.
    """
    try:
        return kind.model_validate(tree)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(kind, error.errors()))) from None


def resolved(config: BaseModel) -> dict[str, Any]:
    """The whole configuration as plain JSON values, defaults filled in."""
    return config.model_dump(mode="json")


_ARRANGEMENT = {"model": ("remat",), "train": ("fsdp", "input")}


def asked_for(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a resolved configuration decides the results.

    How the work is laid out over devices and memory is left out: a training may go on with another layout.

    Args:
        config: what `resolved` gave.
    """
    return {
        section: {key: value for key, value in values.items() if key not in _ARRANGEMENT.get(section, ())}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }


def config_hash(config: BaseModel) -> str:
    """SHA-256 of what a configuration asks for (see `asked_for`), 64 hexadecimal digits.

    Settings at their defaults are left out, so that one which is added later, and not set, changes no hash. What the
    defaults were is in the resolved configuration beside it.
    """
    given = asked_for(config.model_dump(mode="json", exclude_defaults=True))
    told = {section: values for section, values in given.items() if values != {}}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _override(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name or "\n" in override:
        raise ConfigError(f"--set {override}: expected section.key=value, such as train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = name.split(".")
    node: Any = tree
    for parent in parents:
        node = _child(node, parent, override)
    if isinstance(node, dict):
        node[last] = value
    elif isinstance(node, list) and last.isdecimal() and int(last) < len(node):
        node[int(last)] = value
    else:
        raise ConfigError(f"--set {override}: {'.'.join(parents)} has no keys of its own")


def _child(node: Any, name: str, override: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(name, {})
    if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    count = f"; there are {len(node)}, counted from 0" if isinstance(node, list) else ""
    raise ConfigError(f"--set {override}: there is no {name!r}{count}")


def _explain(root: type[BaseModel], details: Sequence[Any]) -> list[str]:
    """What pydantic found: one clause for each place, the branches of a union joined by "or"."""
    clauses: dict[str, str] = {}
    for detail in details:
        place, section = _place(root, detail["loc"])
        dotted = ".".join(map(str, place))
        match detail["type"]:
            case "extra_forbidden":
                unknown = detail["loc"][-1]
                dotted = ".".join(map(str, [*place, unknown]))
                clauses[dotted] = f"unknown key {dotted}; {nearest(str(unknown), list(section.model_fields))}"
            case "missing":
                clauses[dotted] = f"{dotted} is missing"
            case "value_error":
                text = str(detail["ctx"]["error"])
                clauses[dotted] = text if text.startswith("unknown key") else f"{dotted}: {text}".removeprefix(": ")
            case _:
                wanted = re.sub(r"^\w+ should (be |have |match )?", "", detail["msg"]).partition(" or instance of")[0]
                came = f", got {detail['input']!r}"
                before = clauses.get(dotted, f"{dotted}: expected ").removesuffix(came)
                clauses[dotted] = f"{before}{' or ' if dotted in clauses else ''}{wanted}{came}"
    # A list whose members are all wrong is also reported as too short.
    return [clause for place, clause in clauses.items() if not any(other.startswith(f"{place}.") for other in clauses)]


def _place(root: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[int | str], type[BaseModel]]:
    """The part of a pydantic location that is keys and counts of ours, and the section it ends in."""
    place: list[int | str] = []
    section = root
    for part in loc:
        if isinstance(part, str):
            if part not in section.model_fields:
                break  # an unknown key, or the name of a branch of a union
            annotation = section.model_fields[part].annotation
            if typing.get_origin(annotation) is tuple:
                annotation = typing.get_args(annotation)[0]
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                section = annotation
        place.append(part)
    return place, section
