"""Signals that wait to be asked for: none acts by itself, all are given back."""

import signal
import threading

import pytest

from dkjax.runtime import signals as stopping
from dkjax.runtime.signals import signals_polled

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def acts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line, where SIGTERM is an interrupt too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@BOTH
def test_a_signal_waits(number: int) -> None:
    with signals_polled() as stop_asked:
        assert not stop_asked()
        signal.raise_signal(number)
        assert stop_asked()


@BOTH
def test_the_second_signal_acts_unless_it_is_a_duplicate(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    with signals_polled():
        signal.raise_signal(signal.SIGTERM)
        now += 0.9
        signal.raise_signal(number)
        now += 0.2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@BOTH
def test_handlers_are_given_back(number: int) -> None:
    with pytest.raises(ValueError, match="made up"), signals_polled():
        raise ValueError("made up")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_an_ignored_signal_stays_ignored() -> None:
    """A shell lets what it starts in the background ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_polled() as stop_asked:
        signal.raise_signal(signal.SIGINT)
        assert not stop_asked()


def test_in_another_thread_nothing_changes() -> None:
    found = []

    def work() -> None:
        with signals_polled() as stop_asked:
            found.append((stop_asked(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]
