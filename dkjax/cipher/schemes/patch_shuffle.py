"""Patch shuffling: block scrambling and nothing else."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import BlockScrambling


@register
def patch_shuffle(block_size: int = 16) -> Scheme:
    """Block scrambling without restriction, and nothing else.

    Meant for an order of its own for every image, which nobody needs to keep: a ViT without position embeddings does
    not mind the order of its patches.

    What is known of its protection: the inside of every block is shown as it is. Jigsaw-puzzle solvers are published
    for block-scrambled images, and a fresh key for every image does not stop them. It costs a ViT little accuracy.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.

    Returns:
        The scheme, for images as `disposable` takes them.

    Example:
        >>> patch_shuffle().transforms
        (BlockScrambling(fixed=0),)

    Source: PEViT, arXiv 2306.03679.
    """
    return Scheme("patch_shuffle", block_size, (BlockScrambling(),))
