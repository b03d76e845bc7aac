"""Every test runs on four CPU devices, without silent rank promotion, and with warnings as errors.

All processes of a run share the programs that they compile: the workers of pytest-xdist and what tests start. They are
kept in a folder of the run, or, between runs, below the folder that `DKJAX_TEST_CACHE` names.
"""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A shell ignores Ctrl-C for what it starts in the background, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Threads of linear algebra wait for each other in loops, at the expense of what else runs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from jax._src import compiler
from jax.experimental.compilation_cache import compilation_cache

from dkjax.runtime import machine

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")

# What makes the bytes is compiled as it is for users.
_AS_SHIPPED = {
    "test_encryption",
    "test_golden",
    "test_kernels",
    "test_keys",
    "test_prng",
    "test_stream",
}

# What looks for keys compiles all by itself, so that every program passes through the places that it searches. What
# compiles for absent devices cannot read from the folder what it has written into it.
_UNCACHED = {"test_keys", "test_keys_in_memory", "test_no_key_leaves", "test_tpu"}


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder of compiled programs to this process and, by the environment, to those that it starts."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist uses the folder of the process that started it
        folder = os.environ["JAX_COMPILATION_CACHE_DIR"]
    elif kept := os.environ.get("DKJAX_TEST_CACHE"):
        folder = str(Path(kept) / f"jax-{jax.__version__}-{machine.cpu_kind()}")
    else:
        of_this_run = tempfile.TemporaryDirectory(prefix="dkjax-tests-", ignore_cleanup_errors=True)
        config.add_cleanup(of_this_run.cleanup)
        folder = of_this_run.name
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    share_compiled_programs(True)


def share_compiled_programs(share: bool) -> None:
    """Read and write the folder of compiled programs, or neither, in this process and those that it starts."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = str(int(share))
    jax.config.update("jax_enable_compilation_cache", share)
    compilation_cache.reset_cache()  # JAX asks for the setting once


# XLA's older way to write the code of fused operations takes a third of the time. JAX has no setting for it but
# XLA_FLAGS, which is read once, when some modules have yet to compile as users do.
_OLDER_FUSION = "xla_cpu_use_fusion_emitters"
_quick_options: dict[str, bool] = {}
_compile_options = compiler.get_compile_options


def _options_of_jax(*args: Any, **kwargs: Any) -> Any:
    options = _compile_options(*args, **kwargs)
    if jax.config.read("jax_disable_most_optimizations"):
        options.env_option_overrides = [*options.env_option_overrides, *_quick_options.items()]
    return options


compiler.get_compile_options = _options_of_jax


@pytest.fixture(scope="session", autouse=True)
def quick_environment() -> dict[str, str]:
    """Ask XLA whether it has the older way, and return what lets the processes that tests start compile quickly.

    XLA has read the flags of this process then.
    """
    environment = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    try:
        jax.jit(lambda x: x).lower(0).compile({_OLDER_FUSION: False})
    except jax.errors.JaxRuntimeError:  # as from JAX 0.12 on
        return environment
    _quick_options[_OLDER_FUSION] = False
    return environment | {"XLA_FLAGS": f"--{_OLDER_FUSION}=false"}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request: pytest.FixtureRequest, quick_environment: dict[str, str]) -> Iterator[None]:
    """Compile in a third of the time, for most programs of the tests run once, and share what is compiled."""
    name = request.module.__name__.rpartition(".")[2]
    quick, shared = name not in _AS_SHIPPED, name not in _UNCACHED
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in quick_environment.items():
            if quick:
                patch.setenv(variable, value)
        jax.config.update("jax_disable_most_optimizations", quick)
        share_compiled_programs(shared)
        yield
    share_compiled_programs(True)
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module", autouse=True)
def garbage() -> Iterator[None]:
    """Collect the garbage of a module at its end, and search what it keeps, such as compiled programs, no more."""
    gc.freeze()
    yield
    gc.collect()
