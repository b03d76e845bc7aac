"""How the process handles memory that it will need again."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the next step to use.

    XLA for CPU allocates the memory of a program anew at every call. By default glibc takes such large pieces from the
    kernel and gives them back each time, which then clears every page of them again: a third of the time of training a
    small ViT. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_MMAP_THRESHOLD, 1 << 30)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
