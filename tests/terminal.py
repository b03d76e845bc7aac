"""Commands as a person runs them: standard input, output and errors are a terminal."""

import contextlib
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import dkjax.cli.main

# What the terminal of whoever runs the tests says of itself.
_OF_OTHERS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERMINAL_WIDTH")


class Shown(NamedTuple):
    """How a command ended, and all that the terminal got."""

    returncode: int
    text: str


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    of_ours = {name: value for name, value in os.environ.items() if name not in _OF_OTHERS}
    return {**of_ours, "TERM": "xterm-256color", "JAX_PLATFORMS": "cpu", **env}


def _open_terminal(columns: int) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, theirs


def _pieces(terminal: int) -> Iterator[bytes]:
    """What the terminal gets, until its other end is closed, which it answers with EIO."""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 1 << 16):
            yield piece


def run_on_terminal(
    arguments: Sequence[object],
    cwd: Path,
    *,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    before: str = "",
    interrupt_at: str | None = None,
) -> Shown:
    """Run dkjax in a process of its own, to the end.

    Args:
        arguments: of the command line.
        cwd: where.
        columns: of the terminal.
        env: environment variables beside today's.
        before: Python code that runs first.
        interrupt_at: send SIGINT, as Ctrl-C does, once the terminal has got this.
    """
    ours, theirs = _open_terminal(columns)
    child = subprocess.Popen(
        [sys.executable, "-c", f"{before}\nfrom dkjax.cli.start import main; main()", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=_environment(env or {}),
    )
    os.close(theirs)
    got = b""
    for piece in _pieces(ours):
        got += piece
        if interrupt_at is not None and interrupt_at.encode() in got:
            child.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    return Shown(child.wait(), got.decode(errors="replace"))


def run_here(arguments: Sequence[object], *, columns: int = 80, env: Mapping[str, str] | None = None) -> Shown:
    """Run dkjax in this process on a terminal, which saves a process of its own the time to start."""
    ours, theirs = _open_terminal(columns)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(_pieces(ours)))
    reader.start()
    sys.stdout.flush()
    sys.stderr.flush()
    own = [os.dup(number) for number in range(3)]
    try:
        for number in range(3):
            os.dup2(theirs, number)
        with (
            mock.patch.dict(os.environ, _environment(env or {}), clear=True),
            open(1, "w", encoding="utf-8", closefd=False) as out,
            open(2, "w", encoding="utf-8", closefd=False, buffering=1) as err,
            mock.patch.multiple(sys, stdout=out, stderr=err),
        ):
            code = _exit_code([str(argument) for argument in arguments])
    finally:
        for number, saved in enumerate(own):
            os.dup2(saved, number)
            os.close(saved)
        os.close(theirs)
        reader.join()
        os.close(ours)
    return Shown(code, b"".join(got).decode(errors="replace"))


def _exit_code(arguments: list[str]) -> int:
    try:
        dkjax.cli.main.app(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
