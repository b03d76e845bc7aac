"""Restricted random permutation matrices under one key."""

from typing import SupportsIndex

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.schemes.restriction import fixed_positions
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation


@register
def horio(block_size: int = 16, *, fixed_blocks: SupportsIndex = 0, fixed_pixels: SupportsIndex = 0) -> Scheme:
    """Block scrambling and pixel permutation by restricted random permutation matrices, under one key.

    Meant for one key for all training and test images. The steps and draws are those of `disposable`: under equal keys
    the bytes are equal.

    What is known of its protection: what holds for `disposable`, and the shared key besides: one known pair of plain
    and encrypted image reveals the permutations of all images. With the key,
    `dkjax.models.adaptation.adapt_embedding` turns a ViT for plain images into one for encrypted images, exactly.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.
        fixed_blocks: how many of the `N = (H/M)(W/M)` blocks stay at their place (the paper's N_bs).
        fixed_pixels: how many of the `P = M*M*C` values of a block stay at their place (the paper's N_ps).

    Returns:
        The scheme, for images as `disposable` takes them.

    Raises:
        ArgumentError: as `disposable`.

    Example:
        >>> horio(fixed_blocks=120, fixed_pixels=500).transforms
        (BlockScrambling(fixed=120), PixelPermutation(fixed=500))

    Source: Horio, Nishikawa, Kiya 2024, arXiv 2408.08529.
    """
    scrambling = BlockScrambling(fixed_positions("fixed_blocks", fixed_blocks))
    permutation = PixelPermutation(fixed_positions("fixed_pixels", fixed_pixels))
    return Scheme("horio", block_size, (scrambling, permutation))
