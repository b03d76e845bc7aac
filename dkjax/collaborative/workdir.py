"""The folder of a run: one configuration, one process at a time, every file whole or absent."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dkjax.config import SimulationConfig, config_hash, resolved
from dkjax.errors import ConfigError
from dkjax.files import LOCK, UNFINISHED, alone_in, read_json, write_json

_CONFIG = "config.json"


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
    with alone_in(path, "--workdir"):
        _refuse_foreign(path, config)
        write_json(path / _CONFIG, {"hash": config_hash(config), "config": resolved(config)})
        yield path


def _refuse_foreign(path: Path, config: SimulationConfig) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: choose another --workdir")
    # The lock, and a configuration whose writing was cut short, are a run that has done nothing yet.
    begun = {LOCK, _CONFIG + UNFINISHED}
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
