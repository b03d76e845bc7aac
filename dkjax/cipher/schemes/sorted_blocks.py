"""Sorted blocks: block scrambling under a disposable key, and each block's values in ascending order."""

from typing import SupportsIndex

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.schemes.restriction import fixed_positions
from dkjax.cipher.transforms import BlockScrambling, SortedValues


@register
def sorted_blocks(block_size: int = 16, *, fixed_blocks: SupportsIndex = 0) -> Scheme:
    """Block scrambling by a restricted random permutation, and the values of each block in ascending order.

    Meant for a key of its own for every image, thrown away afterwards. It is what `disposable` with
    `pixel_order="block"` and no fixed pixels leaves when its keys are gone: a random order that nobody knows says
    nothing. So whatever can be learned or recovered from one can be from the other
    (`test_sorted_values.py::test_what_is_left_of_an_own_order`). **There is no inverse**: `decrypt` is refused.

    What is known of its protection: that of `disposable` with `pixel_order="block"`. The multiset of values of each
    block stays, of which small blocks give a thumbnail.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place.

    Returns:
        The scheme, for images as `disposable` takes them.

    Raises:
        ArgumentError: the count is negative or not a whole number. One beyond an image's is refused on use.

    Example:
        >>> sorted_blocks(8).transforms
        (BlockScrambling(fixed=0), SortedValues())
    """
    scrambling = BlockScrambling(fixed_positions("fixed_blocks", fixed_blocks))
    return Scheme("sorted_blocks", block_size, (scrambling, SortedValues()))
