"""The steps that schemes are made of, on the blocks of a batch of images.

Blocks are `[B, N, P]`. Parameters are drawn from keys `uint32[K, W]`, where `K` is `B`, or 1 for a key that all
images share; NumPy's broadcasting does the rest.
"""

import dataclasses
import itertools
import math
from typing import Any, Protocol

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.reference.keystream import bits, split
from dkjax.reference.permutations import invert, random_permutations

_MAX_CHANNELS = 6
_SYMMETRIES = 8


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """`N` blocks of `M` x `M` pixels with `C` channels: `P = M*M*C` values each."""

    num_blocks: int
    block_size: int
    channels: int

    @property
    def values(self) -> int:
        """The number `P` of values in a block."""
        return self.block_size**2 * self.channels


class Transform(Protocol):
    """A reversible step."""

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Raise `ArgumentError` for blocks that it cannot take."""

    def sample(self, keys: np.ndarray, shape: BlockShape) -> Any:
        """Draw the parameters."""

    def apply(self, parameters: Any, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Do the step."""

    def invert(self, parameters: Any, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Undo the step."""


def random_bits(keys: np.ndarray, count: int) -> np.ndarray:
    """Draw bits, `uint8[..., count]`: bit `i` is bit `i mod 32` of word `i // 32`."""
    words = bits(keys, -(-count // 32))
    each = words[..., None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)
    return each.reshape(*words.shape[:-1], 32 * words.shape[-1])[..., :count].astype(np.uint8)


def choices(keys: np.ndarray, options: int, count: int) -> np.ndarray:
    """Draw numbers below `options`, `int64[..., count]`: choice `i` is `words[i] * options // 2^32`."""
    return (bits(keys, count).astype(np.uint64) * np.uint64(options) >> np.uint64(32)).astype(np.int64)


def _check_fixed(name: str, fixed: int, total: int) -> None:
    if fixed > total:
        raise ArgumentError(f"{name}={fixed} is more than the {total} there are")


def check_uint8(dtype: np.dtype) -> None:
    """Refuse anything but bytes."""
    if dtype != np.uint8:
        raise ArgumentError(f"the scheme changes values of 8 bits: expected uint8 images, got {dtype}")


class _AnyDtype:
    """Neither the dtype nor the shape of the blocks matters."""

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Accept everything."""


@dataclasses.dataclass(frozen=True)
class BlockScrambling:
    """Block `i` of the result is block `p[i]`; `fixed` blocks stay."""

    fixed: int = 0

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse more fixed blocks than there are."""
        _check_fixed("fixed_blocks", self.fixed, shape.num_blocks)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `int32[K, N]`."""
        return random_permutations(keys, shape.num_blocks, self.fixed)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Reorder the blocks."""
        return np.take_along_axis(blocks, parameters[:, :, None], axis=1)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Put the blocks back."""
        return self.apply(invert(parameters), blocks, shape)


@dataclasses.dataclass(frozen=True)
class PixelPermutation:
    """Value `i` of every block of the result is value `p[i]`; `fixed` values stay."""

    fixed: int = 0

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse more fixed values than a block has."""
        _check_fixed("fixed_pixels", self.fixed, shape.values)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `int32[K, P]`."""
        return random_permutations(keys, shape.values, self.fixed)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Reorder the values."""
        return np.take_along_axis(blocks, parameters[:, None, :], axis=2)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Put the values back."""
        return self.apply(invert(parameters), blocks, shape)


@dataclasses.dataclass(frozen=True)
class BlockwisePixelPermutation:
    """Value `j` of block `i` of the result is its value `p[i, j]`; `fixed` values of each block stay."""

    fixed: int = 0

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse more fixed values than a block has."""
        _check_fixed("fixed_pixels", self.fixed, shape.values)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `int32[K, N, P]`, from a key for each block."""
        return random_permutations(split(keys, shape.num_blocks), shape.values, self.fixed)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Reorder the values."""
        return np.take_along_axis(blocks, parameters, axis=2)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Put the values back."""
        return self.apply(invert(parameters), blocks, shape)


@dataclasses.dataclass(frozen=True)
class RotationFlip(_AnyDtype):
    """Every block is turned by `v mod 4` quarters counter-clockwise, then mirrored left to right if `v >= 4`."""

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `int64[K, N]`, 0 to 7."""
        return choices(keys, _SYMMETRIES, shape.num_blocks)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Turn, then mirror."""
        squares = _squares(blocks, shape)
        result = np.empty_like(squares)
        for variant in range(_SYMMETRIES):
            turned = np.rot90(squares, variant % 4, axes=(2, 3))
            if variant >= 4:
                turned = np.flip(turned, axis=3)
            _put(result, turned, parameters == variant)
        return result.reshape(blocks.shape)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Mirror, then turn back."""
        squares = _squares(blocks, shape)
        result = np.empty_like(squares)
        for variant in range(_SYMMETRIES):
            mirrored = np.flip(squares, axis=3) if variant >= 4 else squares
            _put(result, np.rot90(mirrored, -(variant % 4), axes=(2, 3)), parameters == variant)
        return result.reshape(blocks.shape)


def _squares(blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
    return blocks.reshape(*blocks.shape[:2], shape.block_size, shape.block_size, shape.channels)


def _put(result: np.ndarray, squares: np.ndarray, where: np.ndarray) -> None:
    """Copy the blocks that `where`, `bool[K, N]`, names."""
    chosen = np.broadcast_to(where, result.shape[:2])
    result[chosen] = squares[chosen]


@dataclasses.dataclass(frozen=True)
class NegativePositive:
    """`v` becomes `255 - v` where a bit is one; blocks, and values of a block, have bits of their own or share one."""

    per_block: bool = True
    per_value: bool = False

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse anything but bytes."""
        check_uint8(dtype)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw `uint8[K, N or 1, P or 1]`."""
        rows = shape.num_blocks if self.per_block else 1
        columns = shape.values if self.per_value else 1
        return random_bits(keys, rows * columns).reshape(len(keys), rows, columns)

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Negate where the bit is one."""
        return np.where(parameters == 1, np.uint8(255) - blocks, blocks)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Negate once more."""
        return self.apply(parameters, blocks, shape)


@dataclasses.dataclass(frozen=True)
class ColourShuffling:
    """Channel `c` of the pixels of a block is channel `order[c]`; blocks have orders of their own or share one."""

    per_block: bool = True

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse more than six channels."""
        if shape.channels > _MAX_CHANNELS:
            raise ArgumentError(f"channels are shuffled up to {_MAX_CHANNELS}, got {shape.channels}")

    def sample(self, keys: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Draw the orders, `int64[K, N or 1, C]`, by their number among all in lexicographic order."""
        orders = np.array(list(itertools.permutations(range(shape.channels))))
        rows = shape.num_blocks if self.per_block else 1
        return orders[choices(keys, math.factorial(shape.channels), rows)]

    def apply(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Reorder the channels."""
        pixels = blocks.reshape(*blocks.shape[:2], shape.block_size**2, shape.channels)
        return np.take_along_axis(pixels, parameters[:, :, None, :], axis=3).reshape(blocks.shape)

    def invert(self, parameters: np.ndarray, blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Put the channels back."""
        return self.apply(invert(parameters), blocks, shape)


@dataclasses.dataclass(frozen=True)
class NibbleShuffling:
    """Half bytes of a block are reversed by bits and permuted; blocks have draws of their own or share them."""

    per_block: bool = False

    def check(self, shape: BlockShape, dtype: np.dtype) -> None:
        """Refuse anything but bytes."""
        check_uint8(dtype)

    def sample(self, keys: np.ndarray, shape: BlockShape) -> tuple[np.ndarray, np.ndarray]:
        """Draw bits, `uint8[K, R, 2P]`, and orders, `int32[K, R, 2P]`, with `R = N or 1`."""
        rows, nibbles = shape.num_blocks if self.per_block else 1, 2 * shape.values
        children = split(keys, 2)
        reversed_ones = random_bits(children[:, 0], rows * nibbles).reshape(len(keys), rows, nibbles)
        return reversed_ones, random_permutations(split(children[:, 1], rows), nibbles)

    def apply(self, parameters: tuple[np.ndarray, np.ndarray], blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Reverse, then permute."""
        reversed_ones, order = parameters
        nibbles = _nibbles(blocks)
        return _bytes(np.take_along_axis(np.where(reversed_ones == 1, 15 - nibbles, nibbles), order, axis=2))

    def invert(self, parameters: tuple[np.ndarray, np.ndarray], blocks: np.ndarray, shape: BlockShape) -> np.ndarray:
        """Put the nibbles back in order, then reverse the same ones."""
        reversed_ones, order = parameters
        nibbles = np.take_along_axis(_nibbles(blocks), invert(order), axis=2)
        return _bytes(np.where(reversed_ones == 1, 15 - nibbles, nibbles))


def _nibbles(blocks: np.ndarray) -> np.ndarray:
    """Upper halves of all values, then lower halves: `[B, N, P]` to `[B, N, 2P]`."""
    return np.concatenate([blocks // 16, blocks % 16], axis=2)


def _bytes(nibbles: np.ndarray) -> np.ndarray:
    upper, lower = np.split(nibbles, 2, axis=2)
    return upper * 16 + lower
