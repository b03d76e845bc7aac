"""Errors at the command line: one line on stderr and an exit code; a traceback only where it is asked for."""

import errno
import functools
import os
from collections.abc import Callable
from typing import Any

import typer

from dkjax.errors import DkjaxError, StoppedError
from dkjax.report.console import say


def for_people(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that what goes wrong is said in one line.

    A stop by a signal (see `dkjax.cli.stop`) or by a full disk exits with 75: what was finished is kept, and the same
    command goes on.

    Args:
        command: a command whose first argument is the `typer.Context`.

    Returns:
        The command with the same signature.
    """

    @functools.wraps(command)
    def wrapped(context: typer.Context, *args: Any, **kwargs: Any) -> None:
        try:
            command(context, *args, **kwargs)
        except (DkjaxError, KeyboardInterrupt, OSError) as error:
            problem = _problem(error)
            if context.obj["debug"] or problem is None:
                raise
            say(f"dkjax: {problem}")
            raise typer.Exit(problem.exit_code) from None

    return wrapped


def _problem(error: BaseException) -> DkjaxError | None:
    """Say what an exception means to the person at the command line; None if it is a bug."""
    if isinstance(error, DkjaxError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StoppedError("stopped; what was finished is kept, and the same command goes on")
    if is_full_disk(error):
        return StoppedError("the disk is full; what was finished is kept: make room, and the same command goes on")
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return DkjaxError(f"{os.fspath(error.filename)}: {os.strerror(error.errno)}")
    return None


def is_full_disk(error: BaseException) -> bool:
    """Say whether there was no room on the disk, or none for this user."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
