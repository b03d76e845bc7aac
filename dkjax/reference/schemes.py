"""The schemes: a block size and a row of transforms each."""

import dataclasses
import operator
from typing import Any

from dkjax.errors import ArgumentError
from dkjax.reference.sorting import NoisyCounts, Quantisation, SortedValues
from dkjax.reference.transforms import (
    BlockScrambling,
    BlockwisePixelPermutation,
    ColourShuffling,
    NegativePositive,
    NibbleShuffling,
    PixelPermutation,
    RotationFlip,
    Transform,
)

_BLOCK_SIZES = {
    "disposable": 16,
    "horio": 16,
    "qi": 16,
    "etc": 16,
    "le": 4,
    "ele": 4,
    "pe": 1,
    "patch_shuffle": 16,
    "negative_positive": 16,
    "sorted_blocks": 16,
}
_OPTIONS = {
    "disposable": ("fixed_blocks", "fixed_pixels", "pixel_order"),
    "horio": ("fixed_blocks", "fixed_pixels"),
    "sorted_blocks": ("fixed_blocks", "order_by", "levels", "epsilon"),
}

NAMES = tuple(_BLOCK_SIZES)
"""The names of the schemes that are specified to the byte: all but `orthogonal`."""


@dataclasses.dataclass(frozen=True)
class Scheme:
    """What is done to an image: the side of a block, and the steps in order."""

    name: str
    block_size: int
    transforms: tuple[Transform, ...]


def by_name(name: str, **parameters: Any) -> Scheme:
    """Make a scheme.

    Args:
        name: one of `NAMES`.
        **parameters: `block_size`; for `disposable` and `horio` also `fixed_blocks` and `fixed_pixels`, for
            `disposable` alone also `pixel_order`; for `sorted_blocks` also `fixed_blocks`, `order_by`, `levels` and
            `epsilon`.

    Returns:
        The scheme, with the block size of its paper where none is given.

    Raises:
        ArgumentError: there is no such scheme here, or it does not take such a parameter or value.
    """
    if name == "orthogonal":
        raise ArgumentError("the bytes of the scheme orthogonal are not specified: use dkjax.schemes.orthogonal")
    if name not in NAMES:
        raise ArgumentError(f"there is no scheme {name!r}; known are {', '.join(NAMES)}")
    known = ("block_size", *_OPTIONS.get(name, ()))
    if unknown := sorted(set(parameters) - set(known)):
        raise ArgumentError(f"the scheme {name} has no parameter {unknown[0]}: it takes {', '.join(known)}")
    block_size = parameters.get("block_size", _BLOCK_SIZES[name])
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise ArgumentError(f"block_size must be a whole number of pixels, at least 1, got {block_size!r}")
    fixed_blocks, fixed_pixels = (_count(each, parameters.get(each, 0)) for each in ("fixed_blocks", "fixed_pixels"))
    pixel_order = parameters.get("pixel_order", "image")
    if not isinstance(pixel_order, str) or pixel_order not in ("image", "block"):
        raise ArgumentError(f'pixel_order must be "image" or "block", got {pixel_order!r}')
    if pixel_order == "block":
        return Scheme(name, block_size, (BlockScrambling(fixed_blocks), BlockwisePixelPermutation(fixed_pixels)))
    if name == "sorted_blocks":
        return Scheme(name, block_size, (BlockScrambling(fixed_blocks), *_sorting(parameters)))
    return Scheme(name, block_size, _transforms(name, fixed_blocks, fixed_pixels))


def _sorting(parameters: dict[str, Any]) -> tuple[Transform, ...]:
    order_by, levels, epsilon = (
        parameters.get(name, default) for name, default in (("order_by", "value"), ("levels", 256), ("epsilon", 0.0))
    )
    if not isinstance(order_by, str) or order_by not in ("value", "channel", "luminance"):
        raise ArgumentError(f"order_by must be value, channel or luminance, got {order_by!r}")
    if not 2 <= _count("levels", levels) <= 256:
        raise ArgumentError(f"levels must be 2 to 256, got {levels!r}")
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not (0.01 <= epsilon <= 20 or epsilon == 0):
        raise ArgumentError(f"epsilon must be 0 for no noise, or .01 to 20, got {epsilon!r}")
    if epsilon:
        if order_by != "value":
            raise ArgumentError(f"epsilon={epsilon!r} adds noise to counts of all values: order_by must be value")
        return (NoisyCounts(levels, float(epsilon)),)
    return *((Quantisation(levels),) if levels < 256 else ()), SortedValues(order_by)


def _transforms(name: str, fixed_blocks: int, fixed_pixels: int) -> tuple[Transform, ...]:
    match name:
        case "disposable" | "horio" | "qi":
            return BlockScrambling(fixed_blocks), PixelPermutation(fixed_pixels)
        case "etc":
            return BlockScrambling(), RotationFlip(), NegativePositive(), ColourShuffling()
        case "le":
            return (NibbleShuffling(per_block=False),)
        case "ele":
            return NibbleShuffling(per_block=True), BlockScrambling()
        case "pe":
            return NegativePositive(per_value=True), ColourShuffling()
        case "patch_shuffle":
            return (BlockScrambling(),)
        case _:
            return (NegativePositive(),)


def _count(name: str, value: Any) -> int:
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < 0:
        raise ArgumentError(f"{name} must be a whole number, at least 0, got {value!r}")
    return count
