"""For PyTorch users: the same encryption on tensors `[..., C, H, W]`, with the same bytes.

Tensors and JAX arrays share memory through DLPack. Images whose memory is channels last (`torch.channels_last`) go in
and come out without a copy of dkjax's making, and keep that format; others are transposed once each way, on the
device. The work runs on the tensor's device where JAX has it, else on JAX's CPU device.

Two orders of a block's values meet here. dkjax flattens a block in row, column, channel order; PyTorch code, and the
weight of an `nn.Conv2d`, in channel, row, column order. An encrypted image has the same bytes either way;
`channel_first_order` leads from one order to the other where vectors, permutations or weights are compared.

This module imports PyTorch, and nothing else of dkjax does: `import dkjax` alone never loads it.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dkjax import cipher
from dkjax.cipher.scheme import Scheme
from dkjax.errors import ArgumentError, KeyReuseError, MissingPackageError
from dkjax.keys import Ratchet

try:
    import torch
except ImportError as error:
    raise MissingPackageError("dkjax.torch needs PyTorch, which is not installed: pip install torch") from error

__all__ = ["EncryptBatch", "channel_first_order", "decrypt", "encrypt"]


def encrypt(scheme: Scheme, image_keys: jax.Array, images: torch.Tensor) -> torch.Tensor:
    """Encrypt a batch of tensors, each image under its own key.

    Args:
        scheme: which transforms, on blocks of which size.
        image_keys: typed JAX keys, shape `[...]`, as `dkjax.encrypt` takes them.
        images: uint8 or another integer or floating dtype of at most 32 bits, shape `[..., C, H, W]`.

    Returns:
        The encrypted images, a new tensor of the shape, dtype, device and memory format of `images`.

    Raises:
        ArgumentError: `images` is no dense tensor of at least three axes, has 64-bit values or requires a gradient;
            or as `dkjax.encrypt`.
        KeyDiscardedError: the keys' round has ended.

    Guarantees:
        - the bytes are those of `dkjax.encrypt` on `images.movedim(-3, -1)`
          (`test_torch.py::test_same_bytes_as_dkjax`).
        - the result shares no memory with `images`, and these are not changed
          (`test_torch.py::test_result_has_memory_of_its_own`).
        - channels-last images are not copied on the way in or out (`test_torch.py::test_channels_last_is_not_copied`).

    Example:
        >>> scheme = dkjax.schemes.disposable(block_size=4, fixed_pixels=12)
        >>> with dkjax.keys.disposable().next_round() as round_keys:
        ...     image_keys = round_keys.for_client("plant-a", 2)
        ...     encrypted = dkjax.torch.encrypt(scheme, image_keys, torch.zeros(2, 3, 8, 12, dtype=torch.uint8))
        >>> encrypted.shape, encrypted.dtype
        (torch.Size([2, 3, 8, 12]), torch.uint8)
    """
    return _run(cipher.encrypt, scheme, image_keys, images)


def decrypt(scheme: Scheme, image_keys: jax.Array, images: torch.Tensor) -> torch.Tensor:
    """Decrypt a batch of tensors, while their keys live.

    Args:
        scheme: the scheme they were encrypted with.
        image_keys: the keys they were encrypted with, in the same order.
        images: encrypted images, `[..., C, H, W]`.

    Returns:
        The plain images, a new tensor of the shape, dtype, device and memory format of `images`.

    Raises:
        ArgumentError: as `encrypt`.
        KeyDiscardedError: as `encrypt`.
    """
    return _run(cipher.decrypt, scheme, image_keys, images)


class EncryptBatch:
    """Encrypts batches of images, every batch under keys of its own that are erased when it is done.

    A transform for a training loop or for the `collate_fn` of a `DataLoader`. Each call is a round of the ratchet, so
    an image that comes again in the next epoch comes under another key; to encrypt every image once, encrypt the data
    set and not the batches. A second process would draw the same keys again: a `DataLoader` must collate in the
    process that made the ratchet (`num_workers=0`), or the batches be encrypted after loading.

    Guarantees:
        - the same batch twice gives two different encryptions (`test_torch.py::test_every_batch_has_its_own_keys`).
        - another process is refused, forked or spawned (`test_torch.py::test_another_process_is_refused`).

    Example:
        >>> encrypt_batch = EncryptBatch(dkjax.schemes.disposable(block_size=4), dkjax.keys.disposable())
        >>> encrypt_batch(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([2, 3, 8, 8])
        >>> samples = [(torch.zeros(3, 8, 8, dtype=torch.uint8), label) for label in range(6)]
        >>> loader = torch.utils.data.DataLoader(samples, batch_size=3, collate_fn=encrypt_batch.collate)
        >>> [labels.tolist() for _, labels in loader]
        [[0, 1, 2], [3, 4, 5]]
    """

    def __init__(self, scheme: Scheme, ratchet: Ratchet, client: str = "torch") -> None:
        """Take a scheme, the ratchet that gives a round of keys to each batch, and the client's name in it."""
        self._scheme = scheme
        self._ratchet = ratchet
        self._client = client
        self._process = os.getpid()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encrypt a batch `[n, C, H, W]` under `n` fresh keys."""
        if os.getpid() != self._process:
            raise KeyReuseError(
                "another process would draw the same keys again: use num_workers=0, or encrypt batches after loading"
            )
        if not isinstance(images, torch.Tensor) or images.ndim != 4:
            raise ArgumentError(f"expected a tensor of images [n, channels, height, width], got {_described(images)}")
        with self._ratchet.next_round() as round_keys:
            return encrypt(self._scheme, round_keys.for_client(self._client, images.shape[0]), images)

    def collate(self, samples: Sequence[Any]) -> list[Any]:
        """Put samples `(image, label, ...)` together as PyTorch does by default, and encrypt the images."""
        images, *others = torch.utils.data.default_collate(samples)
        return [self(images), *others]


def channel_first_order(block_size: int, channels: int) -> torch.Tensor:
    """Say where the values of a block in PyTorch's order lie in dkjax's order.

    Args:
        block_size: the side `M` of a block in pixels.
        channels: the channels `C` of the images.

    Returns:
        `int64[P]`, a permutation of `P = M*M*C` that gathers: `channel_first = channel_last[..., order]`, and back
        `channel_last = channel_first[..., order.argsort()]`. The pixel permutation `p` that dkjax draws for its order
        is `order.argsort()[p[order]]` in PyTorch's.

    Raises:
        ArgumentError: a number is less than 1.

    Guarantees:
        - block vectors of `torch.nn.functional.unfold`, permuted by the converted permutation, give the bytes of
          `encrypt` (`test_torch.py::test_channel_first_order_converts_permutations`).
        - the weight of an `nn.Conv2d` becomes the kernel of a ViT's patch embedding
          (`test_torch.py::test_channel_first_order_converts_weights`).

    Example:
        >>> channel_first_order(block_size=2, channels=3).tolist()
        [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    """
    if min(block_size, channels) < 1:
        raise ArgumentError(f"expected at least 1 for both, got block_size={block_size}, channels={channels}")
    positions = torch.arange(block_size * block_size * channels)
    return positions.reshape(block_size * block_size, channels).T.reshape(-1)


def _run(
    run: Callable[[Scheme, jax.Array, Any], jax.Array], scheme: Scheme, image_keys: jax.Array, images: torch.Tensor
) -> torch.Tensor:
    _check(images)
    channels_last = images.movedim(-3, -1)
    if channels_last.is_contiguous():
        result = _to_torch(run(scheme, image_keys, _to_jax(channels_last)))
        result = result.movedim(-1, -3)
    else:
        # Compiled, the transposition is several times faster than PyTorch's `contiguous`.
        array = _channels_last(_to_jax(images.contiguous()))
        result = _to_torch(_channels_first(run(scheme, image_keys, array)))
    if result.device != images.device:
        return result.to(images.device)
    # A scheme that does nothing may hand its input through, and the caller would get the same memory twice.
    return result.clone() if result.data_ptr() == images.data_ptr() else result


def _to_jax(images: torch.Tensor) -> jax.Array:
    """Lend a contiguous tensor's memory to JAX, or a copy where JAX does not have the tensor's device."""
    shared = images.device.type == "cpu" or (images.is_cuda and jax.default_backend() == "gpu")
    return jax.dlpack.from_dlpack(images if shared else images.cpu())


def _to_torch(array: jax.Array) -> torch.Tensor:
    """Give a JAX array's memory to PyTorch, when all is computed that reads the memory PyTorch has lent."""
    return torch.from_dlpack(array.block_until_ready())


@jax.jit
def _channels_last(images: jax.Array) -> jax.Array:
    return jnp.moveaxis(images, -3, -1)


@jax.jit
def _channels_first(images: jax.Array) -> jax.Array:
    return jnp.moveaxis(images, -1, -3)


def _check(images: torch.Tensor) -> None:
    """Refuse what DLPack would change silently or refuse less clearly."""
    if not isinstance(images, torch.Tensor) or images.layout != torch.strided or images.ndim < 3:
        raise ArgumentError(
            f"expected a dense tensor of images [..., channels, height, width], got {_described(images)}"
        )
    if images.requires_grad:
        raise ArgumentError("images that require a gradient cannot be encrypted: pass images.detach()")
    dtype = np.dtype(str(images.dtype).removeprefix("torch."))
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ArgumentError(f"images of {images.dtype} need jax_enable_x64, or convert them to 32 bits first")


def _described(images: object) -> str:
    if isinstance(images, torch.Tensor):
        return f"{images.layout} of shape {tuple(images.shape)}"
    return type(images).__name__
