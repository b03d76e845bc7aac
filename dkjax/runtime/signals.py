"""Signals that are polled, so that nothing is interrupted halfway."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import jax

_TWICE_SECONDS = 1.0
"""Some senders, such as `timeout`, signal a process twice at once; a person repeats a signal later than that."""


@contextlib.contextmanager
def signals_polled() -> Iterator[Callable[[], bool]]:
    """Remember SIGINT and SIGTERM instead of acting on them.

    A signal a second or more after the first has its previous effect. An ignored signal stays ignored. Outside the main
    thread, where Python has no signals, nothing changes.

    Yields:
        A function that returns whether a signal has arrived.

    Guarantees:
        - the previous handlers are restored (`test_signals.py::test_handlers_are_given_back`).
        - a duplicate signal counts once (`test_signals.py::test_the_second_signal_acts_unless_it_is_a_duplicate`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    if jax.process_count() > 1:
        # JAX's own handler for SIGTERM lets the processes agree where to stop; see `processes.synced_stop`.
        before_interrupt = signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        try:
            yield lambda: False
        finally:
            signal.signal(signal.SIGINT, before_interrupt)
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    first: list[float] = []

    def remember(number: int, _: FrameType | None) -> None:
        first.append(time.monotonic())
        if first[-1] - first[0] >= _TWICE_SECONDS:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    polled = [number for number in numbers if before[number] not in (signal.SIG_IGN, None)]
    for number in polled:
        signal.signal(number, remember)
    try:
        yield lambda: bool(first)
    finally:
        for number in polled:
            signal.signal(number, before[number])
