"""Cutting an image into blocks and putting it together again.

A block is flattened in row, column, channel order; blocks are counted row by row. So an image `[H, W, C]` is a matrix
`[N, P]` of `N = (H/M)(W/M)` blocks with `P = M*M*C` values each, as a ViT of patch size `M` sees it.
"""

import dataclasses

import jax

from dkjax.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """How an image lies in blocks; what a transform needs to know of it.

    Attributes:
        num_blocks: the number `N` of blocks.
        block_size: the side `M` of a block, in pixels.
        channels: the number `C` of channels.
    """

    num_blocks: int
    block_size: int
    channels: int

    @property
    def values(self) -> int:
        """The number `P = M*M*C` of values in a block."""
        return self.block_size * self.block_size * self.channels


def block_shape(image_shape: tuple[int, ...], block_size: int) -> BlockShape:
    """Say how an image lies in blocks.

    Args:
        image_shape: `(H, W, C)`.
        block_size: the side `M` of a block, in pixels.

    Returns:
        The number of blocks, their side and their channels.

    Raises:
        ArgumentError: the shape is not that of an image, or the block size does not divide its sides.
    """
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ArgumentError(f"expected an image shape (height, width, channels), got {tuple(image_shape)}")
    height, width, channels = image_shape
    for name, side in (("height", height), ("width", width)):
        if side % block_size:
            raise ArgumentError(
                f"block_size={block_size} does not divide {name}={side}: resize the images to a multiple of it, "
                "or choose another block size"
            )
    return BlockShape((height // block_size) * (width // block_size), block_size, channels)


def to_blocks(image: jax.Array, block_size: int) -> jax.Array:
    """Cut one image `[H, W, C]` into blocks `[N, P]`."""
    height, width, channels = image.shape
    rows, columns = height // block_size, width // block_size
    # A row of a block as one axis: TPUs pad the last axis of an array, and three channels would be mostly padding.
    windows = image.reshape(rows, block_size, columns, block_size * channels)
    return windows.transpose(0, 2, 1, 3).reshape(rows * columns, block_size * block_size * channels)


def from_blocks(blocks: jax.Array, image_shape: tuple[int, ...], block_size: int) -> jax.Array:
    """Put blocks `[N, P]` together to the image `[H, W, C]` they were cut from."""
    height, width, channels = image_shape
    rows, columns = height // block_size, width // block_size
    windows = blocks.reshape(rows, columns, block_size, block_size * channels).transpose(0, 2, 1, 3)
    return windows.reshape(image_shape)
