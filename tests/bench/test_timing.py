"""Contenders take turns, and a time ends when the result is there."""

import gc
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from dkjax.bench.timing import Timing, take_turns


def test_contenders_take_turns() -> None:
    calls = []
    contenders = {name: lambda number, name=name: calls.append((name, number)) for name in "abc"}
    timings = take_turns(contenders, rounds=3)
    assert [name for name, _ in calls] == list("abcabccbaabc")
    assert [number for _, number in calls] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert list(timings) == ["a", "b", "c"]
    assert {len(timing.seconds) for timing in timings.values()} == {3}


def test_the_settled_call_is_the_timed_one() -> None:
    waits, calls = iter([0.0, 0.2, 0.01]), []

    def wait(number: int) -> None:
        calls.append(number)
        time.sleep(next(waits))

    timing = take_turns({"wait": wait}, rounds=1, settled=True)["wait"]
    assert calls == [0, 1, 1]
    assert 0.01 <= timing.median < 0.2


def test_times_are_those_of_the_calls() -> None:
    waits = iter([0.05, 0.01, 0.03, 0.02])
    timing = take_turns({"wait": lambda _: time.sleep(next(waits))}, rounds=3)["wait"]
    assert timing.first_call >= 0.05
    assert all(seconds >= wait for seconds, wait in zip(timing.seconds, (0.01, 0.03, 0.02), strict=True))
    assert timing.fastest < 0.02 <= timing.median < 0.03


def test_cpu_time_is_that_of_all_threads_and_none_of_waiting() -> None:
    def work(_: int) -> None:
        ends = time.process_time() + 0.05
        worker = threading.Thread(target=lambda: all(time.process_time() < ends for _ in iter(int, 1)))
        worker.start()
        worker.join()
        time.sleep(0.05)

    (seconds,), (cpu_seconds,) = (timing := take_turns({"work": work}, rounds=1)["work"]).seconds, timing.cpu_seconds
    assert 0.05 <= cpu_seconds < seconds - 0.04


def test_median_and_fastest() -> None:
    timing = Timing(9.0, (3.0, 1.0, 2.0, 7.0), (0.0,) * 4)
    assert (timing.median, timing.fastest) == (2.5, 1.0)


def test_results_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)
    result = jnp.zeros(3)
    take_turns({"a": lambda _: result}, rounds=2)
    assert [value is result for value in waited] == [True] * 3


def test_garbage_is_collected_again_afterwards() -> None:
    def fail(_: int) -> None:
        assert not gc.isenabled()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        take_turns({"a": fail}, rounds=1)
    assert gc.isenabled()
