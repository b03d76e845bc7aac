"""Block scrambling and pixel shuffling for a ViT, all of it, under one key."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation


@register
def qi(block_size: int = 16) -> Scheme:
    """Block scrambling and pixel permutation without restriction, under one key.

    Meant for one key for all training and test images. The steps and draws are those of `disposable` with nothing
    fixed: under equal keys the bytes are equal.

    What is known of its protection: nothing is recognisable by eye. The values of an image, and those of each block,
    are kept, so images can be linked to candidate plain images. One known pair reveals the permutations of all images.
    A jigsaw-puzzle solver for block-scrambled and pixel-shuffled images is published (Chuman, Kiya 2023, arXiv
    2211.02369). With the key, `dkjax.models.adaptation.adapt_embedding` adapts a ViT exactly.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.

    Returns:
        The scheme, for images as `disposable` takes them.

    Example:
        >>> qi().transforms
        (BlockScrambling(fixed=0), PixelPermutation(fixed=0))

    Source: Qi et al. 2022, arXiv 2205.12041.
    """
    return Scheme("qi", block_size, (BlockScrambling(), PixelPermutation()))
