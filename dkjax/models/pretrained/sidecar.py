"""The small JSON files that lie beside weights, read without believing them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dkjax.errors import DataError
from dkjax.runtime.files import special_file

_MAX_BYTES = 1 << 24  # the names of ImageNet-21k's classes take about 2 MB
_MAX_NUMBER = 1 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or nothing where there is no such file.

    Args:
        path: the file.

    Returns:
        The object; empty if the file is missing.

    Raises:
        DataError: the file is too large, or holds something else.
    """
    if (kind := special_file(path)) is not None:
        raise DataError(f"{path} is {kind}, no file: remove it")
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise DataError(f"{path} is longer than {_MAX_BYTES} bytes: too long for what it should be")
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(tree, dict):
        raise DataError(f"{path} holds no JSON object")
    return tree


def positive_integer(path: Path, tree: Mapping[str, Any], key: str) -> int | None:
    """Take a count from an object; None where it is not given.

    Raises:
        DataError: it is something else.
    """
    value = tree.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_NUMBER:
        raise DataError(f"{path}: {key}={str(value)[:40]} is no positive number")
    return value


def two_integers(path: Path, tree: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    """Take height and width from an object, where one number stands for both; None where they are not given.

    Raises:
        DataError: they are something else.
    """
    value = tree.get(key)
    pair = value if isinstance(value, list) and len(value) == 2 else [value, value]
    height, width = (positive_integer(path, {key: side}, key) for side in pair)
    return None if height is None or width is None else (height, width)


def normalisation(
    path: Path, tree: Mapping[str, Any], mean: str, std: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Take mean and standard deviation of the channels from an object; None where they are not given.

    Raises:
        DataError: they are something else.
    """
    return _numbers(path, tree, mean), _numbers(path, tree, std)


def _numbers(path: Path, tree: Mapping[str, Any], key: str) -> tuple[float, ...] | None:
    values = tree.get(key)
    if values is None:
        return None
    good = isinstance(values, list) and 0 < len(values) <= 64
    if not good or not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        raise DataError(f"{path}: {key}={str(values)[:40]} must be a list of numbers, one a channel")
    return tuple(map(float, values))
