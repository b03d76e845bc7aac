"""A full disk as Python's `OSError`, whatever Orbax and TensorStore raise for it."""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

_SLACK = 1 << 20
"""Bytes of names, shapes and indices beside the arrays."""


def require_room(folder: Path, tree: Any) -> None:
    """Refuse to begin what would not fit on the disk: Orbax's threads do not handle a disk that fills up.

    Args:
        folder: below which arrays will be written; it need not exist.
        tree: the arrays.

    Raises:
        OSError: ENOSPC, there is less room than they need.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + _SLACK
    held = next(path for path in (folder, *folder.parents) if path.is_dir())
    if shutil.disk_usage(held).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextlib.contextmanager
def full_disk_is_an_os_error() -> Iterator[None]:
    """Raise the `OSError` of a full disk, whatever it was raised as.

    Raises:
        OSError: with ENOSPC or EDQUOT.
    """
    try:
        yield
    except Exception as error:
        code = _full_disk(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code)) from error


@contextlib.contextmanager
def quiet_about_full_disk() -> Iterator[None]:
    """Silence Orbax's threads, which log at length what is raised when they are joined: this, or a removed folder."""
    logger = logging.getLogger("absl")
    logger.addFilter(_tells_of_something_else)
    # asyncio tells of the futures that failed beside the first when they are collected, which may be at the very end.
    logging.getLogger("asyncio").addFilter(_tells_of_something_else)
    try:
        yield
    finally:
        logger.removeFilter(_tells_of_something_else)


def _tells_of_something_else(record: logging.LogRecord) -> bool:
    if record.exc_info:
        return _full_disk(record.exc_info[1]) is None and not _is_gone(record.exc_info[1])
    return not str(record.msg).startswith("Metadata file does not exist")


def _is_gone(error: BaseException | None) -> bool:
    """Say whether an exception means that a folder was removed while Orbax was writing into it."""
    words = ("No such file or directory", "NOT_FOUND", "No ArrayMetadata found")
    return any(word in str(error) for word in words)


def _full_disk(error: BaseException | None) -> int | None:
    """Return the errno if an exception means that the disk is full.

    It may be a `JaxRuntimeError`, a `ValueError` or an `OSError`; the text decides.
    """
    return next((code for code in (errno.ENOSPC, errno.EDQUOT) if os.strerror(code) in str(error)), None)
