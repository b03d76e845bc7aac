"""Memory of the host that a device of the same memory can use as it is."""

import math

import numpy as np

_ALIGNMENT = 64
"""Where XLA wants arrays to begin; NumPy's own memory begins 16 bytes after a page."""


def aligned_empty(shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Make an array of any content, which `jax.device_put` need not copy on a CPU.

    Args:
        shape: of the array.
        dtype: of its values.

    Guarantees:
        - JAX on a CPU uses the same memory (`test_aligned.py::test_jax_uses_the_same_memory`).
    """
    dtype = np.dtype(dtype)
    memory = np.empty(math.prod(shape) * dtype.itemsize + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : memory.size - _ALIGNMENT + first].view(dtype).reshape(shape)
