"""Several processes that train one model together: how they agree, and who does what is done once.

Every process runs the same program on the same configuration, and has its own part of each batch and of a divided
state. What is written once is written by the leader, process 0. Alone, everything here does nothing.
"""

import contextlib
import errno
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np

from dkjax.errors import ConfigError, DataError, DkjaxError, StoppedError, TransportError

_Result = TypeVar("_Result")
_TEXT_BYTES = 1000
_KINDS = {kind.exit_code: kind for kind in (ConfigError, DataError, StoppedError, TransportError)}


def is_leader() -> bool:
    """Say whether this process writes what is written once."""
    return jax.process_index() == 0


def run_on_all(function: Callable[[], _Result]) -> _Result:
    """Call a function in every process, and go on only where it has worked in all of them.

    Args:
        function: may do different things in different processes, and may take its time in one while the others wait.

    Returns:
        What it returned in this process.

    Raises:
        DkjaxError: it failed in some process: this one's own error, or else one that says what the first of them said.
            Without that, the others would wait for a process that is gone.
    """
    if jax.process_count() == 1:
        return function()
    result, failed = None, None
    try:
        result = function()
    except (DkjaxError, OSError) as error:
        failed = error
    told = _gathered(failed)
    if failed is not None:
        raise failed
    for process, (code, text) in enumerate(told):
        if code:
            raise _KINDS.get(code, DkjaxError)(f"process {process}: {text}")
    return result  # type: ignore[return-value]  # nothing failed


def leader_does(function: Callable[[], object]) -> None:
    """Call a function in the leader alone, while the others wait; errors as for `run_on_all`."""
    run_on_all(lambda: function() if is_leader() else None)


def broadcast_from_leader(number: int) -> int:
    """Return the leader's number in every process."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def synced_stop(stop_asked: Callable[[], bool]) -> Callable[[], bool]:
    """Turn what asks this process whether to stop into what all answer alike.

    Args:
        stop_asked: says whether this process was asked to stop.

    Returns:
        To be called in every process equally often: it says yes in the same call in all. Where there are several, JAX
        watches for SIGTERM, and on Google's clouds for the notice of preemption, and `stop_asked` is not needed.
    """
    if jax.process_count() == 1:
        return stop_asked
    from jax.experimental import multihost_utils

    calls = itertools.count()
    return lambda: multihost_utils.reached_preemption_sync_point(next(calls))


@contextlib.contextmanager
def translate_lost_peer() -> Iterator[None]:
    """Say in a line that another process is gone, where a computation of all has failed for that.

    Raises:
        TransportError: the others cannot be reached any more.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise TransportError(
            f"what all {jax.process_count()} processes compute together has failed, most likely because one of them is "
            f"gone; started again, all go on from the last checkpoint ({str(error).splitlines()[0]})"
        ) from error


def _exit_code(error: Exception) -> int:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StoppedError.exit_code if full else getattr(error, "exit_code", 1)


def _gathered(error: Exception | None) -> list[tuple[int, str]]:
    """Exchange errors: for each process the exit code, 0 where all is well, and the text."""
    from jax.experimental import multihost_utils

    note = np.zeros(_TEXT_BYTES + 1, np.uint8)
    if error is not None:
        note[0] = _exit_code(error)
        text = str(error).encode()[:_TEXT_BYTES]
        note[1 : 1 + len(text)] = np.frombuffer(text, np.uint8)
    notes = multihost_utils.process_allgather(note)
    return [(int(one[0]), one[1:].tobytes().rstrip(b"\0").decode(errors="ignore")) for one in notes]
