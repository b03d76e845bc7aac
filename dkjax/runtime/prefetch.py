"""Doing the next thing on another thread while the last one is used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(function: Callable[[Item], Result], items: Iterable[Item], depth: int = 2) -> Iterator[Result]:
    """Apply a function to items on a thread of its own, some items ahead of the consumer.

    Args:
        function: what to apply; it is never called twice at the same time.
        items: what to apply it to.
        depth: how many results may wait.

    Yields:
        The results in order. An exception of `function` is raised where its result would come.

    Guarantees:
        - never more than `depth` results ahead (`test_prefetch.py::test_stays_within_its_depth`).
        - the thread ends with the iterator, also if it is closed early (`test_prefetch.py::test_ends_early`).
    """
    waiting: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(max_workers=1)
    try:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
