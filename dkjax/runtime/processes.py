"""Several processes that train one model together: agreement, and work that is done once.

Every process runs the same program on the same configuration, with its own part of each batch and of a sharded state.
The leader, process 0, writes what is written once. With one process, everything here does nothing.
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
    """Return whether this process is the leader, which writes what is written once."""
    return jax.process_index() == 0


def run_on_all(function: Callable[[], _Result]) -> _Result:
    """Call a function in every process, and continue only if it succeeded in all of them.

    Args:
        function: may differ between processes, and may take long in one while the others wait.

    Returns:
        Its result in this process.

    Raises:
        DkjaxError: it failed in some process: this one's own error, or else one with the text of the first. Otherwise
            the other processes would wait for one that has exited.
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
    """Make a stop request of one process one of all processes.

    Args:
        stop_asked: returns whether this process should stop.

    Returns:
        A function to be called equally often in every process; it returns True in the same call in all. With several
        processes, JAX listens for SIGTERM, and on Google's clouds for preemption notices, and `stop_asked` is not used.
    """
    if jax.process_count() == 1:
        return stop_asked
    from jax.experimental import multihost_utils

    calls = itertools.count()
    return lambda: multihost_utils.reached_preemption_sync_point(next(calls))


@contextlib.contextmanager
def translate_lost_peer() -> Iterator[None]:
    """Raise a one-line error if a collective computation failed because another process died.

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
