"""Ctrl-C and SIGTERM: at once where nothing is lost by it, and after tidying up where something would be."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

EXIT_CODE = 75
"""`dkjax.errors.StoppedError.exit_code`; this is needed before anything else is imported."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def leave_at_once_when_stopped() -> None:
    """Let a signal end this process with one line and 75, whatever it is doing.

    While libraries are imported and devices are looked for, an exception that comes from outside is swallowed by some
    and crashes others. A command that would leave something behind works under `tidying_up`. A signal that is ignored,
    as for what a shell starts in the background, stays ignored.

    Guarantees:
        - every command ends with one line (`test_stop.py::test_stopped_while_it_starts`).
    """
    for number in _SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _leave)


@contextlib.contextmanager
def tidying_up() -> Iterator[None]:
    """Let a signal raise `KeyboardInterrupt` instead, so that what is unfinished is removed or kept on the way out."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in ours:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def several_processes() -> bool:
    """Say whether this process trains together with others."""
    # JAX may be half imported.
    is_initialized = getattr(getattr(sys.modules.get("jax"), "distributed", None), "is_initialized", None)
    return is_initialized is not None and is_initialized()


def _raise(*_: object) -> None:
    raise KeyboardInterrupt


def _leave(*_: object) -> None:
    if several_processes():
        # The others are told on the way out.
        raise KeyboardInterrupt
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, clean_line() + b"dkjax: stopped; nothing is lost, and the same command goes on\n")
    os._exit(EXIT_CODE)


def clean_line() -> bytes:
    """Return what removes a bar and the sign of Ctrl-C from a terminal, and brings the cursor back."""
    terminal = os.isatty(2) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return b"\r\x1b[2K\x1b[?25h" if terminal else b""
