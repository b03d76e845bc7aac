"""How fast, and how often again: a limit on bytes a second, and retries with jitter."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dkjax.transport.store_errors import StoreError

_Result = TypeVar("_Result")

ATTEMPTS = 8
_FIRST, _LONGEST = 0.25, 30.0


class Pace:
    """A limit on bytes a second, over all threads; what is sent at once is sent as fast as it goes.

    Args:
        bytes_per_second: None for no limit.
        sleep: waits.
        clock: tells seconds.
    """

    def __init__(
        self,
        bytes_per_second: float | None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._sleep, self._clock = bytes_per_second, sleep, clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def wait_for(self, size: int) -> None:
        """Wait until so many bytes may be sent.

        Guarantees:
            - the mean rate keeps to the limit (`test_pace.py::test_the_rate_is_kept`).
        """
        if self._rate is None:
            return
        with self._lock:
            begin = max(self._free_at, self._clock())
            self._free_at = begin + size / self._rate
        if (wait := begin - self._clock()) > 0:
            self._sleep(wait)


@contextlib.contextmanager
def stopping_pool(threads: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Run a pool of threads that ask a store, and end it soon where the work is broken off.

    Args:
        threads: how many.
        stop: set when the block is left by an exception, so that nobody waits for a further try.

    Yields:
        The pool. After Ctrl-C, requests under way are left to themselves; otherwise they are waited for.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    except BaseException as error:
        stop.set()
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()


def with_retries(
    ask: Callable[[], _Result],
    *,
    attempts: int = ATTEMPTS,
    on_failure: Callable[[StoreError], None] = lambda error: None,
    stop: threading.Event | None = None,
) -> _Result:
    """Ask a store again while that may help, after a random time that grows.

    Args:
        ask: what may raise `StoreError`.
        attempts: how often, in all.
        on_failure: told of each failure.
        stop: ends the waiting, too, when it is set.

    Raises:
        StoreError: the last failure, or one after which asking again does not help.

    Guarantees:
        - waits are random and bounded (`test_pace.py::test_waits_grow_and_are_random`).
        - Ctrl-C is heard while a store does not answer
          (`test_sending.py::test_stopped_while_the_store_does_not_answer`).
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        # Signals are handled by the main thread, which must not be busy in a library meanwhile.
        with stopping_pool(1, stop) as pool:
            return pool.submit(_tried, ask, attempts, on_failure, stop).result()
    return _tried(ask, attempts, on_failure, stop)


def _tried(
    ask: Callable[[], _Result], attempts: int, on_failure: Callable[[StoreError], None], stop: threading.Event
) -> _Result:
    for attempt in range(attempts):
        try:
            return ask()
        except StoreError as error:
            on_failure(error)
            if not error.again or attempt == attempts - 1:
                raise
            if stop.wait(random.uniform(0, min(_LONGEST, _FIRST * 2**attempt))):
                raise
    raise AssertionError("attempts must be at least 1")
