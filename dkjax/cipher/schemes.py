"""The schemes of the literature, by name."""

import operator
from typing import SupportsIndex

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.errors import ArgumentError

__all__ = ["Scheme", "disposable"]


def disposable(block_size: int = 16, *, fixed_blocks: SupportsIndex = 0, fixed_pixels: SupportsIndex = 0) -> Scheme:
    """Block scrambling and pixel permutation by restricted random permutation matrices.

    Meant for a key of its own for every image, thrown away afterwards. Used with one key for all images it is the
    scheme of Horio, Nishikawa, Kiya 2024 (arXiv 2408.08529).

    What is known of its protection: the values of an image are kept, so its histogram, and the sorted mean and
    deviation of its blocks, are those of the plain image; the more positions stay, the more of the image can be
    recognised by eye. A key used for two images confines nothing: one known pair reveals it.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place (the paper's N_bs).
        fixed_pixels: how many of the `P = M*M*C` values of a block stay at their place (the paper's N_ps).

    Returns:
        The scheme, for images of any height and width that the block size divides, and any number of channels.

    Raises:
        ArgumentError: a count is negative or not a whole number. Counts beyond an image's are refused on use.

    Example:
        >>> disposable(block_size=16, fixed_blocks=147, fixed_pixels=576).name
        'disposable'

    Source: Aso, Shiota, Kiya 2024, arXiv 2408.05737.
    """
    scrambling = BlockScrambling(_count("fixed_blocks", fixed_blocks))
    return Scheme("disposable", block_size, (scrambling, PixelPermutation(_count("fixed_pixels", fixed_pixels))))


def _count(name: str, value: SupportsIndex) -> int:
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < 0:
        raise ArgumentError(f"{name} must be a whole number, at least 0, got {value!r}")
    return count
