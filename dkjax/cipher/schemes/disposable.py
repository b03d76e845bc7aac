"""Disposable keys: block scrambling and pixel permutation, a key for every image."""

from typing import Literal, SupportsIndex

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.schemes.restriction import fixed_positions
from dkjax.cipher.transforms import BlockScrambling, BlockwisePixelPermutation, PixelPermutation
from dkjax.errors import ArgumentError


@register(later=("pixel_order",))
def disposable(
    block_size: int = 16,
    *,
    fixed_blocks: SupportsIndex = 0,
    fixed_pixels: SupportsIndex = 0,
    pixel_order: Literal["image", "block"] = "image",
) -> Scheme:
    """Block scrambling and pixel permutation by restricted random permutation matrices.

    Meant for a key of its own for every image, thrown away afterwards. Used with one key for all images it is
    `horio`.

    What is known of its protection: it hides the picture from the eye, and not from a program. By default all
    blocks of an image share one order of values, as in the paper, and nearly the whole picture can be rebuilt from
    one encrypted photograph without a key (`dkjax attack`: SSIM .93 with nothing fixed, over twenty photographs of
    224 px, M = 16; docs/protection.md). With an order of its own for every block the same attack came to SSIM .05,
    and to .31 with the values of each block sorted, less than the mean image's .36; what is left is the multiset of
    values of each block, of which small blocks still give a thumbnail. The histogram, and the sorted mean and
    deviation of the blocks, are those of the plain image. The more positions stay, the more can be recognised by
    eye. If a key is used for two images, one known pair reveals it.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place (the paper's N_bs).
        fixed_pixels: how many of the `P = M*M*C` values of a block stay at their place (the paper's N_ps).
        pixel_order: "image", the paper's: one order of values for all blocks of an image; or "block": every block has
            an order of its own, and fixed values of its own.

    Returns:
        The scheme, for images of any height and width that the block size divides, any number of channels, and any
        integer or floating dtype.

    Raises:
        ArgumentError: a count is negative or not a whole number, or there is no such `pixel_order`. Counts beyond an
            image's are refused on use.

    Example:
        >>> disposable(block_size=16, fixed_blocks=147, fixed_pixels=576).name
        'disposable'

    Source: Aso, Shiota, Kiya 2024, arXiv 2408.05737.
    """
    if not isinstance(pixel_order, str) or pixel_order not in ("image", "block"):
        raise ArgumentError(f'pixel_order must be "image" or "block", got {pixel_order!r}')
    permutation = BlockwisePixelPermutation if pixel_order == "block" else PixelPermutation
    scrambling = BlockScrambling(fixed_positions("fixed_blocks", fixed_blocks))
    return Scheme("disposable", block_size, (scrambling, permutation(fixed_positions("fixed_pixels", fixed_pixels))))
