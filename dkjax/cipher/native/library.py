"""Finding the native library, and making its handler known to XLA."""

import contextlib
import ctypes
import functools
import importlib.resources
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax

TARGET = "dkjax_permute"
"""The handler's name in a compiled program."""
VARIABLE = "DKJAX_NATIVE"
"""The environment variable that turns the native kernel off, with the value 0."""

_LIBRARY = "libdkjax.so"  # not a name that Python would import


class Status(NamedTuple):
    """Whether the native kernel runs on a CPU, and if not, why."""

    runs: bool
    reason: str


def status() -> Status:
    """Say whether the native kernel runs on CPUs of this process; load it at the first call.

    Returns:
        Whether it runs, and a reason in words for `dkjax doctor`.

    Guarantees:
        - a library that is missing, of another machine or of a later JAX is told and never an error
          (`test_native.py::test_a_library_that_cannot_be_used`).
        - the environment is asked at every call (`test_native.py::test_it_can_be_turned_off`).
    """
    if os.environ.get(VARIABLE, "") == "0":
        return Status(False, f"{VARIABLE}=0")
    return _load(_LIBRARY)


@contextlib.contextmanager
def turned_off() -> Iterator[None]:
    """Run XLA's own kernels meanwhile, in all of this process and in those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@functools.cache
def _load(name: str) -> Status:
    # Not beside this file: an editable installation may keep elsewhere what it has built.
    path = importlib.resources.files("dkjax.cipher.native") / name
    if not path.is_file():
        return Status(False, "not built: there was no C++ compiler when dkjax was installed")
    try:
        library = ctypes.CDLL(str(path))
        # Once it has a backend, JAX refuses here a library that was built with headers of a later one. Before, it would
        # take it, and fail at its first operation.
        jax.devices("cpu")
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(library.DkjaxPermute), platform="cpu")
    except (OSError, AttributeError, RuntimeError) as error:
        return Status(False, f"{path.name} cannot be used: {(str(error).splitlines() or [''])[0]}")
    return Status(True, f"{path.name} of this installation")
