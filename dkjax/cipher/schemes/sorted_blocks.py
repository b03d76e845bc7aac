"""Sorted blocks: block scrambling under a disposable key, and each block's values in ascending order."""

import operator
from typing import SupportsIndex, get_args

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.schemes.restriction import fixed_positions
from dkjax.cipher.transforms import BlockScrambling, NoisyCounts, Quantisation, SortedValues
from dkjax.cipher.transforms.quantisation import LEVELS
from dkjax.cipher.transforms.sorted_values import OrderBy
from dkjax.errors import ArgumentError

_EPSILON = (0.01, 20.0)
"""The noise is exact enough between these; see `dkjax.cipher.noise.delta`."""


def _levels(value: SupportsIndex) -> int:
    try:
        levels = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        levels = 0
    if levels not in LEVELS:
        raise ArgumentError(f"levels must be a whole number from {LEVELS[0]} to {LEVELS[-1]}, got {value!r}")
    return levels


@register(later=("order_by", "levels", "epsilon"))
def sorted_blocks(
    block_size: int = 16,
    *,
    fixed_blocks: SupportsIndex = 0,
    order_by: OrderBy = "value",
    levels: SupportsIndex = 256,
    epsilon: float = 0.0,
) -> Scheme:
    """Block scrambling by a restricted random permutation, and the values of each block in ascending order.

    Meant for a key of its own for every image, thrown away afterwards. By default it is what `disposable` with
    `pixel_order="block"` and no fixed pixels leaves when its keys are gone: a random order that nobody knows says
    nothing. So whatever can be learned or recovered from one can be from the other
    (`test_sorted_values.py::test_what_is_left_of_an_own_order`). **There is no inverse**: `decrypt` is refused.

    What is known of its protection: that of `disposable` with `pixel_order="block"`. The multiset of values of each
    block stays, of which small blocks give a thumbnail. Sorted by channel or by luminance, more stays; quantised or
    with noise, less (docs/schemes.md has measurements).

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place.
        order_by: "value", all values of a block together; "channel", those of each channel; or "luminance", pixels as a
            whole, for bytes alone.
        levels: to how many levels values are rounded, 2 to 256; 256 keeps them. Fewer are for bytes alone.
        epsilon: 0 for none; otherwise noise on how many values of a block are of each level, so that one value of an
            image is differentially private with this epsilon, from .01 to 20 (`dkjax.cipher.transforms.NoisyCounts`
            says what that is and what it is not). For bytes sorted by value alone.

    Returns:
        The scheme, for images as `disposable` takes them.

    Raises:
        ArgumentError: a count is negative or not a whole number, there is no such `order_by`, `levels` or `epsilon` is
            out of range, or noise is to be added to other counts than of all values. A count beyond an image's is
            refused on use.

    Example:
        >>> sorted_blocks(8).transforms
        (BlockScrambling(fixed=0), SortedValues(order_by='value'))
        >>> sorted_blocks(8, levels=16, epsilon=2.0).transforms
        (BlockScrambling(fixed=0), NoisyCounts(levels=16, epsilon=2.0))
    """
    scrambling = BlockScrambling(fixed_positions("fixed_blocks", fixed_blocks))
    if not isinstance(order_by, str) or order_by not in get_args(OrderBy):
        raise ArgumentError(f"order_by must be one of {', '.join(get_args(OrderBy))}, got {order_by!r}")
    levels = _levels(levels)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        raise ArgumentError(f"epsilon must be a number, got {epsilon!r}")
    if epsilon == 0:
        rounding = (Quantisation(levels),) if levels < LEVELS[-1] else ()
        return Scheme("sorted_blocks", block_size, (scrambling, *rounding, SortedValues(order_by)))
    if not _EPSILON[0] <= epsilon <= _EPSILON[1]:
        raise ArgumentError(f"epsilon must be 0 for no noise, or {_EPSILON[0]} to {_EPSILON[1]:g}, got {epsilon!r}")
    if order_by != "value":
        raise ArgumentError(f'epsilon={epsilon} adds noise to counts of all values of a block: set order_by="value"')
    return Scheme("sorted_blocks", block_size, (scrambling, NoisyCounts(levels, float(epsilon))))
