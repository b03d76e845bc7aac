"""Huge pages for the memory of arrays on Linux."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_TUNABLE = "glibc.malloc.hugetlb"
_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_again_with_huge_pages(environ: Mapping[str, str], kernel: Path = _KERNEL) -> None:
    """Restart this process with huge pages requested from the kernel, where that makes a difference.

    XLA for CPU allocates the memory of a program anew at every call, and NumPy that of every large array. The kernel
    clears it page by page as it is written to, by default 4 KiB at a time: a fifth of a training step of ViT-Ti/16.
    With huge pages it is 2 MiB at a time. glibc reads whether to ask for them only when a process starts, from the
    variable GLIBC_TUNABLES.

    It returns without having done anything if the variable speaks of it already (0 keeps huge pages off), if the
    kernel gives them to everybody or to nobody, or where there is no such C library. To be called before anything else:
    the program starts again from its beginning, under the same process number.

    Args:
        environ: the environment variables.
        kernel: where the kernel says to whom it gives huge pages.
    """
    tunables = environ.get("GLIBC_TUNABLES", "")
    if _TUNABLE in tunables or not _glibc_can() or not _on_demand(kernel):
        return
    asking = {**environ, "GLIBC_TUNABLES": f"{tunables}:{_TUNABLE}=1".lstrip(":")}
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], asking)
    except OSError:
        return


def _glibc_can() -> bool:
    """Whether the C library is glibc 2.35 or later."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
    except (AttributeError, ValueError, OSError):
        return False


def _on_demand(kernel: Path) -> bool:
    try:
        return "[madvise]" in kernel.read_text()
    except OSError:
        return False
