"""Commands as a person runs them: standard output and error are a terminal."""

import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple


class Shown(NamedTuple):
    """How a command ended, and all that the terminal got."""

    returncode: int
    text: str


def run_on_terminal(
    arguments: Sequence[object], cwd: Path, *, columns: int = 80, env: Mapping[str, str] | None = None
) -> Shown:
    """Run dkjax with a pseudo-terminal as its input, output and errors, to the end."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", "from dkjax.cli.start import main; main()", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**environment, "TERM": "xterm-256color", "JAX_PLATFORMS": "cpu", **(env or {})},
    )
    os.close(theirs)
    pieces = []
    # A pseudo-terminal whose other end is closed answers EIO.
    try:
        while piece := os.read(ours, 1 << 16):
            pieces.append(piece)
    except OSError:
        pass
    os.close(ours)
    return Shown(child.wait(), b"".join(pieces).decode(errors="replace"))
