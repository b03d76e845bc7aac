"""The two permutations of an image as fast as each backend can move bytes. All kernels give identical bytes.

A kernel takes one image, a permutation of its blocks and one of the values inside a block, and is batched by `vmap`.
Which one runs is decided when the program is compiled for a backend:

- CPU: the image is cut into blocks and the blocks reordered by copying whole rows. A gather of values costs as much for
  8 bits as for 32, so bytes are first regrouped into words that hold the same byte of four blocks; one gather then
  moves four. The steps stand behind fences (see `dkjax.cipher.fence`).
- TPU: there is no fast gather of bytes. Both permutations are multiplications with one-hot matrices on the matrix unit,
  exact since a byte is exact in bfloat16 and every sum has a single term.
- elsewhere, and on a TPU where whole blocks alone move: gathers.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dkjax.cipher.blocks import from_blocks, to_blocks
from dkjax.cipher.fence import fenced


def permute(
    image: jax.Array, block_permutation: jax.Array | None, pixel_permutation: jax.Array | None, *, block_size: int
) -> jax.Array:
    """Reorder the blocks of one image, and the values inside each block.

    Args:
        image: any dtype, `[H, W, C]`.
        block_permutation: `int32[N]`, acts by gathering; None leaves the blocks in order.
        pixel_permutation: `int32[P]`, acts by gathering; None leaves the values of a block in order.
        block_size: the side `M` of a block in pixels.

    Returns:
        The permuted image.

    Guarantees:
        - every kernel gives the same bytes (`test_kernels.py::test_kernels_agree`,
          `test_kernels.py::test_kernels_agree_on_blocks_alone`).
    """
    if block_permutation is None:  # the fast kernels copy block by block anyway
        block_permutation = jnp.arange(image.shape[0] // block_size * (image.shape[1] // block_size), dtype=jnp.int32)
    kernels: dict[str, Callable[..., jax.Array]] = {"default": _by_gathers, "cpu": _by_windows}
    if image.dtype == jnp.uint8:
        if pixel_permutation is not None:
            kernels["tpu"] = _by_matmuls
        if block_size * image.shape[2] % 4 == 0:
            kernels["cpu"] = _by_words
    for_size = {platform: functools.partial(kernel, block_size=block_size) for platform, kernel in kernels.items()}
    return jax.lax.platform_dependent(image, block_permutation, pixel_permutation, **for_size)


def _by_gathers(
    image: jax.Array, block_permutation: jax.Array, pixel_permutation: jax.Array | None, *, block_size: int
) -> jax.Array:
    blocks = to_blocks(image, block_size).at[block_permutation].get(mode="promise_in_bounds", unique_indices=True)
    if pixel_permutation is not None:
        blocks = blocks.at[:, pixel_permutation].get(mode="promise_in_bounds", unique_indices=True)
    return from_blocks(blocks, image.shape, block_size)


def _by_matmuls(
    image: jax.Array, block_permutation: jax.Array, pixel_permutation: jax.Array, *, block_size: int
) -> jax.Array:
    blocks = to_blocks(image, block_size).astype(jnp.bfloat16)
    num_blocks, values = blocks.shape
    to_rows = jax.nn.one_hot(block_permutation, num_blocks, dtype=jnp.bfloat16)
    to_columns = jax.nn.one_hot(pixel_permutation, values, dtype=jnp.bfloat16, axis=0)
    product = functools.partial(jnp.dot, preferred_element_type=jnp.float32)
    blocks = product(to_rows, product(blocks, to_columns).astype(jnp.bfloat16))
    return from_blocks(blocks.astype(jnp.uint8), image.shape, block_size)


def _by_windows(
    image: jax.Array, block_permutation: jax.Array, pixel_permutation: jax.Array | None, *, block_size: int
) -> jax.Array:
    height, width, channels = image.shape
    windows = image.reshape(height // block_size, block_size, width // block_size, block_size * channels)
    blocks = _cut_in_order(windows, block_permutation)
    if pixel_permutation is not None:
        blocks = fenced(_take_columns)(blocks, pixel_permutation)
    return fenced(_join)(blocks.reshape(windows.shape[0], windows.shape[2], block_size, -1)).reshape(image.shape)


def _by_words(
    image: jax.Array, block_permutation: jax.Array, pixel_permutation: jax.Array | None, *, block_size: int
) -> jax.Array:
    height, width, channels = image.shape
    columns, row_words = width // block_size, block_size * channels // 4
    words = fenced(_to_words)(image.reshape(height, columns * row_words, 4))
    blocks = _cut_in_order(words.reshape(height // block_size, block_size, columns, row_words), block_permutation)
    if pixel_permutation is not None:
        blocks = _permute_bytes(blocks, pixel_permutation)
    words = fenced(_join)(blocks.reshape(-1, columns, block_size, row_words))
    return fenced(_to_bytes)(words.reshape(height, columns * row_words)).reshape(image.shape)


def _cut_in_order(windows: jax.Array, order: jax.Array) -> jax.Array:
    """Copy blocks `[N, P]` out of an image `[H/M, M, W/M, a block's row]` in the given order."""
    places = fenced(functools.partial(_places, columns=windows.shape[2]))(order)
    return fenced(_cut)(windows, places).reshape(order.shape[0], -1)


def _permute_bytes(blocks: jax.Array, pixel_permutation: jax.Array) -> jax.Array:
    """Reorder the bytes of blocks given as words `[N, P / 4]`."""
    num_blocks, block_words = blocks.shape
    padded = jnp.pad(blocks, ((0, -num_blocks % 4), (0, 0)))
    quads = fenced(_bytes_to_quads)(padded.reshape(4, -1, block_words)).reshape(-1, 4 * block_words)
    quads = fenced(_take_columns)(quads, pixel_permutation)
    return fenced(_quads_to_bytes)(quads.reshape(-1, block_words, 4)).reshape(-1, block_words)[:num_blocks]


def _to_words(quadruples: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(quadruples, jnp.uint32)


def _to_bytes(words: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(words, jnp.uint8)


def _places(order: jax.Array, columns: int) -> jax.Array:
    """Say in which row and column of blocks each block lies: int32[N, 2]."""
    return jnp.stack([order // columns, order % columns], axis=-1)


def _cut(windows: jax.Array, places: jax.Array) -> jax.Array:
    """Copy the blocks at these places: `[N, M, a block's row]`."""
    dimensions = jax.lax.GatherDimensionNumbers(offset_dims=(1, 2), collapsed_slice_dims=(0, 2), start_index_map=(0, 2))
    sizes = (1, windows.shape[1], 1, windows.shape[3])
    return jax.lax.gather(windows, places, dimensions, sizes, unique_indices=True, mode="promise_in_bounds")


def _join(blocks: jax.Array) -> jax.Array:
    """Put blocks in order back into an image."""
    return blocks.transpose(0, 2, 1, 3)


def _bytes_to_quads(quarters: jax.Array) -> jax.Array:
    """Regroup words that hold four bytes of a block into words that hold the same byte of four blocks."""
    return jnp.stack(_transposed(list(quarters)), axis=-1)


def _quads_to_bytes(quads: jax.Array) -> jax.Array:
    """Undo `_bytes_to_quads`."""
    return jnp.stack(_transposed([quads[..., byte] for byte in range(4)]))


def _transposed(words: list[jax.Array]) -> list[jax.Array]:
    """Turn four words of four bytes each like a matrix: byte `i` of word `j` becomes byte `j` of word `i`."""
    return [
        functools.reduce(jnp.bitwise_or, [((words[j] >> (8 * i)) & 0xFF) << (8 * j) for j in range(4)])
        for i in range(4)
    ]


def _take_columns(matrix: jax.Array, order: jax.Array) -> jax.Array:
    # As one flat gather: the form with a free leading axis is laid out column by column, and copied back afterwards.
    rows, columns = matrix.shape
    places = jnp.arange(rows, dtype=jnp.int32)[:, None] * columns + order[None, :]
    return matrix.reshape(-1).at[places].get(mode="promise_in_bounds", unique_indices=True)
