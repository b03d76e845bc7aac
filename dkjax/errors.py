"""Errors, with texts that say what to do.

Every error that dkjax raises on purpose is a `DkjaxError`. Its text says what was expected, what was given and what to
do, on one line, because the command line prints it unchanged. `exit_code` is the exit code of a command that raises it.
"""

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which of the known words was probably meant, or which there are.

    Args:
        word: what came.
        known: what there is.

    Returns:
        A clause such as `did you mean 'alpha'?`.
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


class DkjaxError(Exception):
    """The base of every error that dkjax raises on purpose."""

    exit_code = 1


class ArgumentError(DkjaxError, ValueError):
    """A value given to a function cannot be used: wrong shape, dtype, type or range."""

    exit_code = 2


class ConfigError(ArgumentError):
    """A configuration, or an option on the command line, is wrong."""


class DataError(DkjaxError, ValueError):
    """Data are missing, damaged, or not what they are said to be."""

    exit_code = 4


class LimitExceededError(DkjaxError):
    """A limit that was set on the command line is exceeded."""

    exit_code = 3


DAMAGE = {
    "absent": "there is no such folder",
    "uncommitted": "it was never finished, or its COMMIT is missing",
    "commit": "COMMIT does not belong to the manifest",
    "manifest": "the manifest is no manifest, or disagrees with itself",
    "shard-missing": "a shard that the manifest names is missing, or is no file",
    "unreadable": "a file cannot be read: the disk, or its permissions",
    "stranger": "an unexpected file in the data set's folder",
    "shard-size": "a shard is longer or shorter than the manifest says",
    "shard-header": "a shard has no valid header",
    "shard-foreign": "a shard is of another data set, or has another number in this one",
    "shard-hash": "the bytes of a shard are not those that were written",
    "record-crc": "the bytes of a record are not those that were written",
    "label": "a label is outside the range of the classes",
    "id": "two records have one id",
    "packed": "it is packed, to be handed over, and is to be unpacked before it is used",
    "packed-shard": "a packed shard is damaged, or does not hold the records that the manifest says",
    "changed": "a shard was written to, replaced or removed while it was in use",
}
"""What can be wrong with an encrypted data set."""


class DamagedDataSetError(DataError):
    """An encrypted data set is not what was written.

    Attributes:
        kind: what is wrong with it, one of `DAMAGE`.
        shard: the shard concerned, counted from 0; None where it is none in particular.
        record: the record within the shard, counted from 0; None where it is none in particular.
    """

    def __init__(self, kind: str, text: str, *, shard: int | None = None, record: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.shard = shard
        self.record = record


class TransportError(DkjaxError):
    """Another machine or process does not respond."""

    exit_code = 5


class MissingPackageError(DkjaxError, ImportError):
    """A package that only this part of dkjax needs is not installed."""

    exit_code = 2


class KeyDiscardedError(DkjaxError, RuntimeError):
    """A cipher key was used after it had been discarded."""


class KeyReuseError(DkjaxError, RuntimeError):
    """A disposable key was requested twice, or would have left the process."""


class NonFiniteLossError(DkjaxError, ArithmeticError):
    """The training loss became infinite or not a number."""


class StoppedError(DkjaxError):
    """The run was stopped early; finished work is kept, and the same command resumes it."""

    exit_code = 75


class ForkedProcessError(DkjaxError, RuntimeError):
    """A process was forked while JAX was running, and would wait for ever for threads that it does not have."""
