"""Writing behind: order, errors, and that nothing is left half done."""

import threading

import pytest

from dkjax.runtime.write_behind import writing_behind


def test_one_at_a_time() -> None:
    done: list[int] = []
    released = threading.Event()
    with writing_behind() as write:
        write(lambda: (released.wait(5), done.append(0)))
        assert done == []  # the caller goes on meanwhile
        released.set()
        for number in range(1, 5):
            write(lambda number=number: done.append(number))
            assert done[:number] == list(range(number))
        write(None)
        assert done == list(range(5))


def test_an_error_is_raised_by_the_next_write() -> None:
    def fail() -> None:
        raise OSError("no space")

    done: list[int] = []
    with writing_behind() as write:
        write(fail)
        with pytest.raises(OSError, match="no space"):
            write(lambda: done.append(1))
        write(None)  # told once
    assert done == []


def test_waits_at_the_end() -> None:
    done: list[int] = []
    started, stopped = threading.Event(), threading.Event()
    with pytest.raises(KeyboardInterrupt), writing_behind() as write:
        write(lambda: (started.set(), stopped.wait(5), done.append(1)))
        started.wait(5)
        threading.Timer(0.1, stopped.set).start()
        raise KeyboardInterrupt
    assert done == [1]
