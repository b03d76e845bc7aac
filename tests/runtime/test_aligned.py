"""Memory that JAX takes as it is."""

import jax
import numpy as np
import pytest

from dkjax.runtime.aligned import aligned_empty


@pytest.mark.parametrize(("shape", "dtype"), [((5, 7, 3), "uint8"), ((3, 4), "float32"), ((1 << 20,), "int32")])
def test_jax_uses_the_same_memory(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned_empty(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags["C_CONTIGUOUS"]
    array[:] = np.arange(array.size).reshape(shape)
    on_device = jax.device_put(array, jax.devices("cpu")[0])
    assert on_device.unsafe_buffer_pointer() == array.ctypes.data
    np.testing.assert_array_equal(on_device, np.arange(array.size).reshape(shape).astype(dtype))


def test_nothing() -> None:
    assert aligned_empty((0, 4), "uint8").shape == (0, 4)
