"""What people write without dkjax, as well as it can be written in a few lines, to be measured beside it.

Each does the whole job: from keys or seeds to encrypted images, all blocks and all values of a block permuted, a
permutation of its own for every image or one for all. None leaves positions fixed.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def numpy_loop(words: np.ndarray, images: np.ndarray, block_size: int) -> np.ndarray:
    """Encrypt image by image with `numpy.random.Generator.permutation` and `numpy.take`.

    Args:
        words: `uint32[n, k]`, what seeds the generator of each image; `uint32[1, k]` shares one permutation.
        images: `[n, H, W, C]`.
        block_size: the side `M` of a block.

    Returns:
        The encrypted images.
    """
    encrypted = np.empty_like(images)
    drawn = None
    for i, image in enumerate(images):
        blocks = _to_blocks(image[None], block_size)[0]
        if drawn is None or len(words) > 1:
            rng = np.random.default_rng(words[i])
            drawn = rng.permutation(blocks.shape[0]), rng.permutation(blocks.shape[1])
        # `take` along the axis is about twice as fast as an index in brackets.
        blocks = np.take(blocks[drawn[0]], drawn[1], axis=1)
        encrypted[i] = _from_blocks(blocks[None], image.shape, block_size)[0]
    return encrypted


@functools.partial(jax.jit, static_argnums=2)
def plain_jax(image_keys: jax.Array, images: jax.Array, block_size: int) -> jax.Array:
    """Encrypt with `jax.random.permutation` and two gathers under `jit` and `vmap`.

    Args:
        image_keys: typed keys, shape `[n]`, or `[]` for one permutation.
        images: `[n, H, W, C]`.
        block_size: the side `M` of a block.

    Returns:
        The encrypted images.
    """

    def encrypt(key: jax.Array, image: jax.Array) -> jax.Array:
        blocks_key, pixels_key = jax.random.split(key)
        blocks = _to_blocks(image[None], block_size)[0]
        blocks = blocks[jax.random.permutation(blocks_key, blocks.shape[0])]
        blocks = blocks[:, jax.random.permutation(pixels_key, blocks.shape[1])]
        return _from_blocks(blocks[None], image.shape, block_size)[0]

    return jax.vmap(encrypt, in_axes=(0 if image_keys.ndim else None, 0))(image_keys, images)


def torch_gather(block_size: int, *, shared: bool) -> Callable[[int, Any], Any] | None:
    """Make an encryption by `torch.rand(...).argsort()` and gathers; None where PyTorch is not installed.

    Args:
        block_size: the side `M` of a block.
        shared: one permutation for all images of a call.

    Returns:
        `(seed, images [n, H, W, C]) -> encrypted images`, both tensors on one device, finished when it returns.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    def encrypt(seed: int, images: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator(images.device).manual_seed(seed)
        blocks = _to_blocks(images, block_size)
        num_images, num_blocks, block_values = blocks.shape
        draws = 1 if shared else num_images

        def order(size: int) -> torch.Tensor:
            return torch.rand(draws, size, generator=generator, device=images.device).argsort(1)

        image = torch.arange(num_images, device=images.device)[:, None]
        blocks = blocks[image, order(num_blocks)]
        blocks = blocks.gather(2, order(block_values)[:, None, :].expand(blocks.shape))
        encrypted = _from_blocks(blocks, images.shape[1:], block_size)
        if images.is_cuda:
            torch.cuda.synchronize()
        return encrypted

    return encrypt


def torch_images(images: np.ndarray) -> Any:
    """Put images, or their labels, where PyTorch would work on them: on the GPU if JAX and PyTorch both have it."""
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return torch.from_numpy(images).to("cuda" if on_gpu else "cpu")


def _to_blocks(images: Any, block_size: int) -> Any:
    """Cut images `[n, H, W, C]` of any of the three libraries into blocks `[n, N, P]`."""
    num_images, height, width, channels = images.shape
    rows, columns = height // block_size, width // block_size
    tiles = images.reshape(num_images, rows, block_size, columns, block_size, channels).swapaxes(2, 3)
    return tiles.reshape(num_images, rows * columns, block_size * block_size * channels)


def _from_blocks(blocks: Any, image_shape: tuple[int, ...], block_size: int) -> Any:
    height, width, channels = image_shape
    rows, columns = height // block_size, width // block_size
    tiles = blocks.reshape(blocks.shape[0], rows, columns, block_size, block_size, channels).swapaxes(2, 3)
    return tiles.reshape(blocks.shape[0], height, width, channels)
