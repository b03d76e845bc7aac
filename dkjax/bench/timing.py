"""Timing several contenders so that the noise of a shared machine hits them alike.

The contenders take turns, one call each, round after round. A burst of other work then slows down one round of all and
not every round of one, and the median over the rounds compares what the machine does of itself.
"""

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

Contender = Callable[[int], Any]
"""Runs once on the inputs of round `i`; what it returns is waited for."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """The times of one contender.

    Attributes:
        first_call: seconds of the first call, compilation included.
        seconds: seconds of the later calls, one for each round.
        cpu_seconds: of each of these, the seconds of CPU time of all threads of this process.
    """

    first_call: float
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The time to compare by."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """The time that other work on the machine disturbed least."""
        return min(self.seconds)

    def as_json(self) -> dict[str, Any]:
        """The times as every bench reports them."""
        return {
            "first_call_seconds": self.first_call,
            "median_seconds": self.median,
            "fastest_seconds": self.fastest,
            "seconds": list(self.seconds),
            "cpu_seconds": list(self.cpu_seconds),
        }


def take_turns(contenders: Mapping[str, Contender], rounds: int, *, settled: bool = False) -> dict[str, Timing]:
    """Time contenders in turns.

    Args:
        contenders: what to time, by name. Each is called with 0 for its first call, then with 1 to `rounds`.
        rounds: how many timed calls of each, at least 1.
        settled: call each once more right before each timed call, with the same number. For contenders of different
            libraries that use gigabytes: whoever comes after another one pays for getting memory back that
            the system has taken in the meantime, as nobody does who goes on alone.

    Returns:
        The times by name, in the order of the contenders.

    Guarantees:
        - each round calls every contender once, every other round in reverse, so that none always runs in the wake
          of the same other one (`test_timing.py::test_contenders_take_turns`).
        - a time ends when the result is computed (`test_timing.py::test_results_are_waited_for`).
    """
    first_calls = {name: _time(contender, 0)[0] for name, contender in contenders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        in_turn = list(contenders.items())
        for name, contender in in_turn if number % 2 else reversed(in_turn):
            if settled:
                _time(contender, number)
            times[name].append(_time(contender, number))
    return {name: Timing(first_calls[name], *zip(*times[name], strict=True)) for name in contenders}


def _time(contender: Contender, number: int) -> tuple[float, float]:
    """Return the seconds of a call, and those of CPU time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        started, cpu_started = time.perf_counter(), time.process_time()
        # Kept until the clock is read: to free the memory is not part of the work.
        result = jax.block_until_ready(contender(number))
        seconds = time.perf_counter() - started, time.process_time() - cpu_started
        del result
        return seconds
    finally:
        if collecting:
            gc.enable()
