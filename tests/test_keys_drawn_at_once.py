"""10 000 tries to draw keys by threads, processes and forks that draw at once: none is equal to another."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import jax
import numpy as np
import pytest

import dkjax
from dkjax.errors import KeyReuseError

pytestmark = pytest.mark.slow

DRAWS = 10_000
PROCESSES, FORKS = 2, 20

PROCESS = """
import sys
import jax, numpy as np
import dkjax
ratchet = dkjax.keys.disposable()
for _ in range(int(sys.argv[1])):
    with ratchet.next_round() as keys:
        print(np.asarray(jax.random.key_data(keys.for_client("a", 1))).tobytes().hex())
"""


def draw(ratchet: dkjax.keys.Ratchet) -> bytes:
    with ratchet.next_round() as keys:
        return np.asarray(jax.random.key_data(keys.for_client("a", 1))).tobytes()


def at_once(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_threads() -> None:
    ratchet, drawn = dkjax.keys.disposable(), []

    def work() -> None:
        for _ in range(DRAWS // 2):
            try:
                drawn.append(draw(ratchet))
            except KeyReuseError:  # the other thread's round is open: refused is right
                continue

    at_once(2, work)
    assert len(drawn) > DRAWS // 100  # most tries meet an open round
    assert len(set(drawn)) == len(drawn)


def test_two_processes() -> None:
    command = [sys.executable, "-c", PROCESS, str(DRAWS // PROCESSES)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    drawn = [line for process in running for line in process.communicate()[0].split()]
    assert len(drawn) == DRAWS
    assert len(set(drawn)) == DRAWS


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning", "ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forks() -> None:
    """A child has what its parent had, and is refused each time; the parent goes on."""
    ratchet, drawn = dkjax.keys.disposable(), []
    for _ in range(FORKS):
        child = os.fork()
        if not child:
            refused = 0
            for _ in range(DRAWS // FORKS):
                try:
                    ratchet.next_round()
                except KeyReuseError:
                    refused += 1
            os._exit(refused != DRAWS // FORKS)
        drawn += [draw(ratchet) for _ in range(10)]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(set(drawn)) == len(drawn) == 10 * FORKS
