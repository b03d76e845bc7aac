"""One line instead of a crash where a mapped file is cut short, or cannot be read, under a running command.

Reading such memory raises SIGBUS, which no exception can be made of: the process can only say what happened and end.
"""

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dkjax.cli.stop import clean_line

_EXIT_CODE = 4
"""`dkjax.errors.DataError.exit_code`; nothing may be imported when it is needed."""

_SIGINFO = 4
_ADDRESS_OFFSET = 16
_MASK_BYTES = 128
"""SA_SIGINFO, the offset of si_addr and the size of sigset_t on 64-bit Linux."""

_FIRST = threading.Lock()
_PATIENCE = 10

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Action(ctypes.Structure):
    _fields_ = (
        ("handler", _Handler),
        ("mask", ctypes.c_ubyte * _MASK_BYTES),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def explain_bus_errors() -> None:
    """Let a bus error end this process with one line and 4; on Linux, and unless faulthandler is to show it.

    The memory of shards is read by NumPy alone, without locks of its own, so that Python can still work then.

    Guarantees:
        `test_bus_error.py::test_a_file_cut_short_is_named`.
    """
    if sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8 and not faulthandler.is_enabled():
        ctypes.CDLL(None).sigaction(signal.SIGBUS, ctypes.byref(_ACTION), None)


def _leave(_: int, info: Any, __: Any) -> None:
    if not _FIRST.acquire(blocking=False):
        time.sleep(_PATIENCE)  # another thread is saying it
    try:
        address = ctypes.c_uint64.from_address(info + _ADDRESS_OFFSET).value
        name = _file_at(address) or "a file"
        text = f"dkjax: {name} was cut short while it was in use, or its disk fails: copy it again, and the same "
        os.write(2, clean_line() + text.encode(errors="replace") + b"command goes on from what was finished before\n")
    finally:
        os._exit(_EXIT_CODE)


def _file_at(address: int) -> str | None:
    """Name the file that is mapped at an address."""
    for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
        area, *_, name = [*line.split(maxsplit=5), ""][:6]
        begin, end = (int(edge, 16) for edge in area.split("-"))
        if begin <= address < end:
            return "".join(character for character in name if character.isprintable()) or None
    return None


_ACTION = _Action(_Handler(_leave), flags=_SIGINFO)
