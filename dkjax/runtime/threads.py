"""Work that lets go of the interpreter, on all cores."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def on_all_cores(function: Callable[[_In], _Out], inputs: Iterable[_In]) -> list[_Out]:
    """Call a function that lets go of the interpreter for each input, in threads; results in the same order."""
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads:
        return list(threads.map(function, inputs))
