"""The folder of a run: one configuration, one training at a time, every file whole or absent."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dkjax.config import asked_for, config_hash, resolved
from dkjax.errors import ConfigError, DataError
from dkjax.runtime.files import LOCK, UNFINISHED, alone_in, read_json, special_file, write_json
from dkjax.runtime.processes import is_leader, run_on_all

_CONFIG = "config.json"


@contextlib.contextmanager
def open_workdir(path: Path, config: BaseModel, inputs: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Hold a run's folder: create it, or go on in it if it holds the same run.

    Of several processes that train together, the leader holds it for all; it is one folder for them.

    Args:
        path: the folder. It may be missing, empty, or hold an earlier run of the same configuration and inputs.
        config: the configuration, which is kept there as `config.json` with its hash.
        inputs: plain JSON values that tell this run from others of the same configuration, such as the ids of the
            data sets it trains on; kept beside the configuration.

    Yields:
        The path.

    Raises:
        ConfigError: the folder holds another run or other files, or another process is working in it.
        DataError: its configuration is damaged, there is a named pipe or a device in it, or it was removed meanwhile.

    Guarantees:
        - a run of an older version that knew fewer settings goes on with their defaults
          (`test_workdir.py::test_a_run_that_knew_fewer_settings`).
        - a folder that is removed under a run is what the run ends with, whatever fails first
          (`test_workdir.py::test_removed_meanwhile`).
    """
    held = {"hash": config_hash(config), "config": resolved(config), **(inputs or {})}
    with contextlib.ExitStack() as stack:
        run_on_all(lambda: stack.enter_context(_held(path, held, type(config))) if is_leader() else None)
        try:
            yield path
        except Exception as error:
            # Whatever failed, failed because of this; a stop has kept nothing then.
            _require_still_there(path, held, error)
            raise
        _require_still_there(path, held)


@contextlib.contextmanager
def _held(path: Path, held: dict[str, Any], asked: type[BaseModel]) -> Iterator[None]:
    _refuse_foreign(path, held, asked)
    path.mkdir(parents=True, exist_ok=True)
    with alone_in(path, "--workdir"):
        _refuse_foreign(path, held, asked)
        write_json(path / _CONFIG, held)
        yield


def _require_still_there(path: Path, held: dict[str, Any], cause: Exception | None = None) -> None:
    """Raise `DataError` if somebody removed the folder of a run under it, or put another in its place."""
    try:
        there = read_json(path / _CONFIG)
    except (DataError, OSError):
        there = None
    if there != json.loads(json.dumps(held)):
        raise DataError(
            f"{path} was removed, or its files replaced, while it was in use: remove what is left of it, and the same "
            "command begins anew"
        ) from cause


def _refuse_foreign(path: Path, wanted: dict[str, Any], asked: type[BaseModel]) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: choose another --workdir")
    # The lock, and a configuration whose writing was cut short, are a run that has done nothing yet.
    begun = {LOCK, _CONFIG + UNFINISHED}
    if not path.is_dir() or begun.issuperset(os.listdir(path)):
        return
    for file in path.rglob("*"):
        if (kind := special_file(file)) is not None:
            raise DataError(f"{file} is {kind}, for which a run would wait for ever: remove it")
    try:
        held = read_json(path / _CONFIG)
    except DataError as error:
        # Only a run has a lock; the folder of a pretrained model has a config.json too.
        if not os.path.lexists(path / LOCK):
            held = None
        else:
            raise DataError(f"{error}: copy it again, or choose another --workdir") from None
    if held is None or "config" not in held:
        raise ConfigError(f"{path} holds other files: choose another --workdir, or an empty folder")
    # An older version may have known fewer settings.
    with contextlib.suppress(ValidationError):
        held["config"] = resolved(asked.model_validate(held["config"]))
    differing = _differences(_by_key(held), _by_key(wanted))
    if differing:
        raise ConfigError(
            f"{path} holds another run, which differs in {', '.join(differing)}: choose another --workdir"
        )


def _by_key(held: dict[str, Any]) -> dict[str, Any]:
    """What decides the results, by section of the configuration, and the inputs beside it; the hash says no more."""
    inputs = {name: value for name, value in held.items() if name not in ("hash", "config")}
    return {**asked_for(held["config"]), **inputs}


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
