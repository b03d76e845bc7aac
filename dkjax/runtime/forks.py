"""Processes that were forked while JAX was at work: they inherit JAX without its threads, and would wait for ever."""

import os
import sys

from dkjax.errors import ForkedProcessError

_parent: int | None = None
"""The process that was forked first after JAX had begun to work in it."""


def refuse_fork() -> None:
    """Raise `ForkedProcessError` in a process that was forked from one in which JAX was at work.

    Guarantees:
        - a fork before JAX began is let through, one after it is not
          (`test_forks.py::test_forks_before_and_after_jax_began`).
        - a JAX that does not answer is taken to have begun (`test_forks.py::test_a_jax_without_the_question`).
    """
    if _parent not in (None, os.getpid()):
        raise ForkedProcessError(
            "this process was forked from one in which JAX had begun to work, and would hang: start processes by "
            'spawning (multiprocess.set_start_method("spawn") for datasets), or use JAX in the workers only'
        )


def jax_began() -> bool:
    """Say whether JAX has started its threads in this process; True also where it is imported and does not tell."""
    # JAX has no public way to ask without starting it (jax-ml/jax issue 23320). So the private one is asked when a
    # process forks, and only if it is there: no JAX that moves it fails to import.
    bridge = sys.modules.get("jax._src.xla_bridge")
    ask = getattr(bridge, "backends_are_initialized", None)
    return bool(ask()) if ask is not None else "jax" in sys.modules


def _remember() -> None:
    global _parent
    if _parent is None and jax_began():
        _parent = os.getpid()


os.register_at_fork(before=_remember)
