"""Writing one item while the next is computed."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor


@contextlib.contextmanager
def writing_behind() -> Iterator[Callable[[Callable[[], None] | None], None]]:
    """Run writes on a thread of their own, one at a time.

    Yields:
        A function that takes the next write. It waits for the previous write, raises its error if any, and returns
        immediately; with None it only waits.

    Guarantees:
        - at most one write is waiting, so memory holds at most two items (`test_write_behind.py::test_one_at_a_time`).
        - the block ends after the last write, also on an error
          (`test_write_behind.py::test_waits_at_the_end`).
    """
    with ThreadPoolExecutor(max_workers=1) as threads:
        last: Future[None] | None = None

        def write(next_write: Callable[[], None] | None) -> None:
            nonlocal last
            if last is not None:
                before, last = last, None
                before.result()
            if next_write is not None:
                last = threads.submit(next_write)

        yield write
