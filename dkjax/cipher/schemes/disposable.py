"""Disposable keys: block scrambling and pixel permutation, a key for every image."""

from typing import SupportsIndex

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.schemes.restriction import fixed_positions
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation


@register
def disposable(block_size: int = 16, *, fixed_blocks: SupportsIndex = 0, fixed_pixels: SupportsIndex = 0) -> Scheme:
    """Block scrambling and pixel permutation by restricted random permutation matrices.

    Meant for a key of its own for every image, thrown away afterwards. Used with one key for all images it is
    `horio`.

    What is known of its protection: it hides the picture from the eye, and not from a program. All blocks of an image
    share one order of values, and nearly the whole picture can be rebuilt from one encrypted photograph without a key
    (SSIM .95 with nothing fixed; measured with a prototype: twelve photographs, 224 px, M = 16; docs/protection.md).
    The histogram, and the sorted mean and deviation of the blocks, are those of the plain image. The more positions
    stay, the more can be recognised by eye. If a key is used for two images, one known pair reveals it.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place (the paper's N_bs).
        fixed_pixels: how many of the `P = M*M*C` values of a block stay at their place (the paper's N_ps).

    Returns:
        The scheme, for images of any height and width that the block size divides, any number of channels, and any
        integer or floating dtype.

    Raises:
        ArgumentError: a count is negative or not a whole number. Counts beyond an image's are refused on use.

    Example:
        >>> disposable(block_size=16, fixed_blocks=147, fixed_pixels=576).name
        'disposable'

    Source: Aso, Shiota, Kiya 2024, arXiv 2408.05737.
    """
    scrambling = BlockScrambling(fixed_positions("fixed_blocks", fixed_blocks))
    permutation = PixelPermutation(fixed_positions("fixed_pixels", fixed_pixels))
    return Scheme("disposable", block_size, (scrambling, permutation))
