"""The folder of a run: one configuration, one process at a time, every file whole or absent."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dkjax.config import SimulationConfig, config_hash, resolved
from dkjax.errors import ConfigError

_CONFIG = "config.json"
_LOCK = ".lock"
_UNFINISHED = ".unfinished"


@contextlib.contextmanager
def open_workdir(path: Path, config: SimulationConfig) -> Iterator[Path]:
    """Hold a run's folder: create it, or go on in it if it holds the same run.

    Args:
        path: the folder. It may be missing, empty, or hold an earlier run of the same configuration.
        config: the configuration, which is kept there as `config.json` with its hash.

    Yields:
        The path.

    Raises:
        ConfigError: the folder holds another run or other files, or another process is working in it.
    """
    _refuse_foreign(path, config)
    path.mkdir(parents=True, exist_ok=True)
    with open(path / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process is working in {path}: wait for it, or choose another --workdir"
            ) from None
        _refuse_foreign(path, config)
        write_json(path / _CONFIG, {"hash": config_hash(config), "config": resolved(config)})
        yield path


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that appears whole or not at all.

    Args:
        path: where; its folder is created.
        value: what.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + _UNFINISHED)
    with open(unfinished, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_json(path: Path) -> Any | None:
    """Read a JSON file that `write_json` wrote, or None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _refuse_foreign(path: Path, config: SimulationConfig) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: choose another --workdir")
    # The lock, and a configuration whose writing was cut short, are a run that has done nothing yet.
    begun = {_LOCK, _CONFIG + _UNFINISHED}
    if not path.is_dir() or begun.issuperset(os.listdir(path)):
        return
    try:
        held = read_json(path / _CONFIG)
        if held is None:
            raise ValueError("no configuration")
        held_hash, held_config = held["hash"], held["config"]
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{path} holds other files: choose another --workdir, or an empty folder") from None
    if held_hash != config_hash(config):
        changed = ", ".join(_differences(held_config, resolved(config)))
        raise ConfigError(f"{path} holds another run, which differs in {changed}: choose another --workdir")


def _differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Name the keys in which two trees differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [
            place
            for name in names
            for place in _differences(one.get(name), other.get(name), f"{where}.{name}" if where else name)
        ]
    return [] if one == other else [where]
