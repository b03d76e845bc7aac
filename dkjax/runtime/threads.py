"""Work that lets go of the interpreter, on all cores."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dkjax.runtime.machine import cpu_cores

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def on_all_cores(function: Callable[[_In], _Out], inputs: Iterable[_In], *, at_most: int = 32) -> list[_Out]:
    """Call a function that lets go of the interpreter for each input, in threads; results in the same order."""
    with ThreadPoolExecutor(min(at_most, cpu_cores())) as threads:
        return list(threads.map(function, inputs))
