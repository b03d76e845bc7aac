"""Doing the next thing on another thread while the last one is used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], depth: int = 2, *, threads: int = 1
) -> Generator[Result, None, None]:
    """Apply a function to items on threads of its own, some items ahead of the consumer.

    Args:
        function: what to apply; it is called by `threads` threads at most at the same time.
        items: what to apply it to.
        depth: how many results may wait.
        threads: how many threads apply it.

    Yields:
        The results in order. An exception of `function` is raised where its result would come.

    Guarantees:
        - never more than `depth` results ahead (`test_prefetch.py::test_stays_within_its_depth`).
        - the threads end with the iterator, also if it is closed early (`test_prefetch.py::test_ends_early`).
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
