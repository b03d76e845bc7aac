"""Every test runs on four CPU devices, without silent rank promotion, and with warnings as errors."""

import os
import signal
from collections.abc import Iterator

# A shell ignores Ctrl-C for what it starts in the background, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before JAX is imported, for the processes that tests start, too: nothing is left in the caches of who runs the tests.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "0")

import jax
import pytest

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
    "test_vectors",
}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile in half the time: most programs of the tests run once."""
    name = request.module.__name__.rpartition(".")[2]
    jax.config.update("jax_disable_most_optimizations", name not in _AS_SHIPPED)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
