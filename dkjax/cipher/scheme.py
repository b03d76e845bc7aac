"""What a scheme is: a block size and the transforms applied one after the other."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from dkjax.cipher import kernels, permutations
from dkjax.cipher.blocks import block_shape, from_blocks, to_blocks
from dkjax.cipher.fence import apart_on_cpu
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation, Transform
from dkjax.cipher.transforms.transform import Mixes
from dkjax.errors import ArgumentError

Parameters = tuple[Any, ...]
"""What a key decides about one image: the draws of each transform, in order, each an array or a tuple of arrays."""

SchemeParameter = bool | int | float | str
"""What a scheme is made with, such as its block size: as JSON has it."""


@dataclasses.dataclass(frozen=True)
class Scheme:
    """An encryption scheme: which transforms, on blocks of which size.

    It holds no key and no array; it is hashable and a static argument of jitted functions. Its methods work on one
    image. Transform `i` draws from child `i` of the image's key.

    Attributes:
        name: the scheme's name in the literature.
        block_size: the side `M` of a block in pixels; most schemes want it equal to the ViT's patch size.
        transforms: the steps, in the order in which encryption applies them.
        parameters: what a registered function made it with (see `dkjax.schemes.register`), so that others can make it
            again; two schemes of the same steps are equal without them.
    """

    name: str
    block_size: int
    transforms: tuple[Transform, ...]
    parameters: tuple[tuple[str, SchemeParameter], ...] = dataclasses.field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.block_size, bool) or not isinstance(self.block_size, int) or self.block_size < 1:
            raise ArgumentError(f"block_size must be a whole number of pixels, at least 1, got {self.block_size!r}")

    @property
    def invertible(self) -> bool:
        """Whether images can be decrypted while their keys live: no transform says that it cannot be undone."""
        return all(getattr(transform, "invertible", True) for transform in self.transforms)

    @property
    def common_order(self) -> bool:
        """Whether the values of all blocks of an image are in one order: no transform says that each has its own."""
        return all(getattr(transform, "common_order", True) for transform in self.transforms)

    @property
    def mixes(self) -> Mixes:
        """What of a block is taken apart: the values of pixels, of channels, which is more, or nothing."""
        parts = {getattr(transform, "mixes", "") for transform in self.transforms}
        return "channels" if "channels" in parts else "pixels" if "pixels" in parts else ""

    def check(self, image_shape: tuple[int, ...], dtype: DTypeLike | None = None) -> None:
        """Raise `ArgumentError` if images of this shape `(H, W, C)`, and dtype if given, cannot be encrypted."""
        shape = block_shape(image_shape, self.block_size)
        for transform in self.transforms:
            transform.check(shape, None if dtype is None else np.dtype(dtype))

    def sample(self, image_key: jax.Array, image_shape: tuple[int, ...]) -> Parameters:
        """Draw the parameters of all transforms from one image's key."""
        shape = block_shape(image_shape, self.block_size)
        keys = jax.random.split(image_key, len(self.transforms))
        return tuple(transform.sample(keys[i], shape) for i, transform in enumerate(self.transforms))

    def apply(self, parameters: Parameters, image: jax.Array) -> jax.Array:
        """Encrypt one image `[H, W, C]`."""
        if self._only_permutes:
            return self._permute(parameters, image)
        steps = [transform.apply for transform in self.transforms]
        return self._run(steps, parameters, image)

    def invert(self, parameters: Parameters, image: jax.Array) -> jax.Array:
        """Decrypt one image `[H, W, C]`."""
        if self._only_permutes:
            return self._permute(tuple(map(permutations.invert, parameters)), image)
        steps = [transform.invert for transform in reversed(self.transforms)]
        return self._run(steps, parameters[::-1], image)

    @property
    def _only_permutes(self) -> bool:
        """Whether the scheme is permutations that have kernels of their own, each at most once; they commute."""
        kinds = {type(transform) for transform in self.transforms}
        return len(kinds) == len(self.transforms) and kinds <= {BlockScrambling, PixelPermutation}

    def _permute(self, parameters: Parameters, image: jax.Array) -> jax.Array:
        drawn = {type(transform): each for transform, each in zip(self.transforms, parameters, strict=True)}
        blocks, pixels = drawn.get(BlockScrambling), drawn.get(PixelPermutation)
        return kernels.permute(image, blocks, pixels, block_size=self.block_size)

    def _run(self, steps: list[Callable[..., jax.Array]], parameters: Parameters, image: jax.Array) -> jax.Array:
        shape = block_shape(image.shape, self.block_size)
        blocks = apart_on_cpu(functools.partial(to_blocks, block_size=self.block_size))(image)
        for step, drawn in zip(steps, parameters, strict=True):
            blocks = apart_on_cpu(functools.partial(step, shape=shape))(drawn, blocks)
        return from_blocks(blocks, image.shape, self.block_size)
