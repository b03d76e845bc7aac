"""Blocks of NumPy images, as the cipher cuts them."""

import numpy as np


def to_blocks(images: np.ndarray, block_size: int) -> np.ndarray:
    """Cut images `[n, H, W, C]` into blocks `[n, N, P]`."""
    count, height, width, channels = images.shape
    rows, columns = height // block_size, width // block_size
    windows = images.reshape(count, rows, block_size, columns, block_size * channels).swapaxes(2, 3)
    return windows.reshape(count, rows * columns, block_size * block_size * channels)


def from_blocks(blocks: np.ndarray, image_shape: tuple[int, ...], block_size: int) -> np.ndarray:
    """Put blocks `[n, N, P]` together to images `[n, H, W, C]`."""
    height, width, channels = image_shape
    rows, columns = height // block_size, width // block_size
    windows = blocks.reshape(len(blocks), rows, columns, block_size, block_size * channels).swapaxes(2, 3)
    return windows.reshape(len(blocks), height, width, channels)
