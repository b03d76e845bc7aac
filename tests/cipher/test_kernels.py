"""Every kernel gives the bytes that a few lines of NumPy give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.cipher import kernels

# Blocks that four divides and that it does not, rows of a block that are whole words and that are not.
SHAPES = [((16, 24, 3), 4), ((14, 21, 1), 7), ((12, 12, 1), 4), ((8, 8, 5), 4), ((6, 4, 3), 2), ((5, 5, 4), 5)]


def drawn(shape: tuple[int, int, int], block_size: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    num_blocks = shape[0] * shape[1] // block_size**2
    values = block_size**2 * shape[2]
    order = [np.stack([random.permutation(n) for _ in range(batch)]).astype(np.int32) for n in (num_blocks, values)]
    return order[0], order[1]


def expected(image: np.ndarray, blocks: np.ndarray, pixels: np.ndarray, m: int) -> np.ndarray:
    height, width, channels = image.shape
    cut = [
        image[row : row + m, column : column + m].reshape(-1)
        for row in range(0, height, m)
        for column in range(0, width, m)
    ]
    out = np.empty_like(image)
    for place, source in enumerate(blocks):
        row, column = divmod(place, width // m)
        out[row * m : (row + 1) * m, column * m : (column + 1) * m] = cut[source][pixels].reshape(m, m, channels)
    return out


def as_they_are(orders: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.arange(orders.shape[1], dtype=np.int32), orders.shape)


def applicable(shape: tuple[int, int, int], block_size: int, dtype: str) -> list[str]:
    names = ["permute", "_by_gathers", "_by_windows"]
    if dtype == "uint8":
        names.append("_by_matmuls")
        if block_size * shape[2] % 4 == 0:
            names.append("_by_words")
    return names


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
@pytest.mark.parametrize(("shape", "block_size"), SHAPES)
def test_kernels_agree(shape, block_size, dtype):
    images = np.random.default_rng(1).integers(0, 256, (3, *shape)).astype(jnp.dtype(dtype))
    blocks, pixels = drawn(shape, block_size, 3)
    want = np.stack([expected(*one, block_size) for one in zip(images, blocks, pixels, strict=True)])
    for name in applicable(shape, block_size, dtype):
        kernel = jax.jit(jax.vmap(functools.partial(getattr(kernels, name), block_size=block_size)))
        np.testing.assert_array_equal(np.asarray(kernel(images, blocks, pixels)), want, err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("shape", "block_size"), SHAPES)
def test_kernels_agree_on_blocks_alone(shape, block_size, dtype):
    images = np.random.default_rng(1).integers(0, 256, (3, *shape)).astype(dtype)
    blocks, pixels = drawn(shape, block_size, 3)
    want = np.stack([expected(*one, block_size) for one in zip(images, blocks, as_they_are(pixels), strict=True)])
    for name in set(applicable(shape, block_size, dtype)) - {"_by_matmuls"}:
        kernel = jax.jit(jax.vmap(functools.partial(getattr(kernels, name), block_size=block_size)))
        np.testing.assert_array_equal(np.asarray(kernel(images, blocks, None)), want, err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels_alone(dtype):
    shape, block_size = SHAPES[0]
    images = np.random.default_rng(1).integers(0, 256, (3, *shape)).astype(dtype)
    blocks, pixels = drawn(shape, block_size, 3)
    want = np.stack([expected(*one, block_size) for one in zip(images, as_they_are(blocks), pixels, strict=True)])
    kernel = jax.jit(jax.vmap(functools.partial(kernels.permute, block_size=block_size)))
    np.testing.assert_array_equal(np.asarray(kernel(images, None, pixels)), want)


def test_one_image_and_nested_batches():
    shape, block_size = SHAPES[0]
    images = np.random.default_rng(1).integers(0, 256, (2, 3, *shape), np.uint8)
    blocks, pixels = drawn(shape, block_size, 6)
    blocks, pixels = blocks.reshape(2, 3, -1), pixels.reshape(2, 3, -1)
    kernel = functools.partial(kernels.permute, block_size=block_size)
    nested = jax.jit(jax.vmap(jax.vmap(kernel)))(images, blocks, pixels)
    np.testing.assert_array_equal(nested[1, 2], jax.jit(kernel)(images[1, 2], blocks[1, 2], pixels[1, 2]))


def test_steps_stay_apart_on_cpu():
    """The fences of the CPU kernel reach the compiled program as calls, one gather each."""
    shape, block_size = (32, 32, 3), 8
    blocks, pixels = drawn(shape, block_size, 2)
    program = jax.jit(jax.vmap(functools.partial(kernels.permute, block_size=block_size)))
    text = program.lower(np.zeros((2, *shape), np.uint8), blocks, pixels).compile().as_text()
    assert all(f"_{step}_" in text for step in ("cut", "take_columns", "quads_to_bytes"))
    bodies = text.split("\n\n")
    assert max(body.count(" gather(") for body in bodies) == 1
