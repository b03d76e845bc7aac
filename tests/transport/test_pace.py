"""How fast and how often again."""

import threading
import time

import pytest

from dkjax.transport import pace
from dkjax.transport.pace import Pace, with_retries
from dkjax.transport.store_errors import StoreError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_rate_is_kept() -> None:
    clock = Clock()
    pace = Pace(1000, clock.sleep, lambda: clock.now)
    for _ in range(10):
        pace.wait_for(500)
    assert clock.now == pytest.approx(4.5)  # the first is sent at once
    clock.now += 100
    pace.wait_for(500)
    assert clock.now == pytest.approx(104.5)  # what was not used is not saved up


def test_no_limit() -> None:
    Pace(None, lambda _: pytest.fail("waits")).wait_for(10**12)


def test_waits_grow_and_are_random() -> None:
    waits: list[float] = []

    class Waits(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return False

    failures: list[StoreError] = []

    def ask() -> None:
        raise StoreError("busy", again=True)

    for _ in range(50):
        with pytest.raises(StoreError, match="busy"):
            with_retries(ask, attempts=9, on_failure=failures.append, stop=Waits())
    assert (len(waits), len(failures)) == (400, 450)
    most = [max(waits[place::8]) for place in range(8)]
    assert all(longest <= min(30, 0.25 * 2**place) for place, longest in enumerate(most))
    assert most[6] > 4 * most[1]
    assert len(set(waits)) == 400


def test_what_does_not_help_is_not_tried_again() -> None:
    def ask() -> None:
        nonlocal asked
        asked += 1
        raise StoreError("no", again=False)

    asked = 0
    with pytest.raises(StoreError, match="no"):
        with_retries(ask)
    assert asked == 1


def test_a_stop_ends_the_waiting() -> None:
    stop = threading.Event()

    def ask() -> None:
        raise StoreError("busy", again=True)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), pace.stopping_pool(2, stop) as pool:
        asked = [pool.submit(with_retries, ask, attempts=1000, stop=stop) for _ in range(4)]
        raise KeyboardInterrupt
    for future in asked[:2]:
        assert isinstance(future.exception(timeout=10), StoreError)
    assert time.monotonic() - began < 10


def test_it_helps_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace.random, "uniform", lambda low, high: 0.0)
    answers = iter([StoreError("busy", again=True)] * 3)

    def ask() -> str:
        if (error := next(answers, None)) is not None:
            raise error
        return "done"

    assert with_retries(ask) == "done"
