"""Reading ahead: order, how far, and that nothing goes on afterwards."""

import threading
import time

import pytest

from dkjax.runtime.prefetch import prefetch


def test_order_is_kept():
    assert list(prefetch(lambda item: item * 2, range(20))) == list(range(0, 40, 2))
    assert list(prefetch(lambda item: item, [])) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_stays_within_its_depth(depth):
    begun = []
    results = prefetch(lambda item: begun.append(item) or item, range(100), depth)
    for item in range(5):
        assert next(results) == item
        time.sleep(0.05)
        # Those handed out, those that wait, and nothing else.
        assert begun == list(range(item + 1 + depth))
    results.close()


def test_works_while_the_consumer_does():
    reading = threading.Event()
    results = prefetch(lambda item: reading.set() if item == 1 else item, range(3), depth=1)
    assert next(results) == 0
    assert reading.wait(5)  # nobody has asked for item 1 yet
    assert list(results) == [None, 2]


@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_work_at_the_same_time_and_keep_the_order(threads):
    together = threading.Barrier(threads)

    def function(item):
        together.wait(20)
        return item

    items = range(4 * threads)
    assert list(prefetch(function, items, depth=threads, threads=threads)) == list(items)


def test_an_error_comes_where_its_result_would():
    results = prefetch(lambda item: 1 // (2 - item), range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ends_early():
    before = threading.active_count()
    results = prefetch(lambda item: item, range(100))
    assert next(results) == 0
    assert threading.active_count() == before + 1
    results.close()
    assert threading.active_count() == before
