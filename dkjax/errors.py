"""What can go wrong, said so that the reader knows what to do.

Every error that dkjax raises on purpose is a `DkjaxError`. Its text names what was expected, what came and the way
out, on one line, because the command line prints it as it is. `exit_code` is what a command returns for it.
"""


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


class MissingPackageError(DkjaxError, ImportError):
    """A package that only this part of dkjax needs is not installed."""

    exit_code = 2


class KeyDiscardedError(DkjaxError, RuntimeError):
    """A cipher key was used after it had been discarded."""


class KeyReuseError(DkjaxError, RuntimeError):
    """A disposable key was asked for twice, or was about to leave the process."""


class NonFiniteLossError(DkjaxError, ArithmeticError):
    """The training loss became infinite or not a number."""


class StoppedError(DkjaxError):
    """The run was stopped before its end; what was finished is kept and the same command goes on."""

    exit_code = 75
