"""Encryption then compression: blocks are scrambled, turned, negated and recoloured."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import BlockScrambling, ColourShuffling, NegativePositive, RotationFlip


@register
def etc(block_size: int = 16) -> Scheme:
    """Block scrambling, rotation and inversion, negative-positive transformation, colour-component shuffling.

    The steps come in this order and every block has draws of its own: one of 8 rotations and inversions, one bit for
    negating all of its values, one order of its channels. Meant for one key for all images, or one for each.

    What is known of its protection: the inside of a block stays as it was, up to turning, negating and recolouring,
    so edges of neighbouring blocks still fit; jigsaw-puzzle solvers, published for block-scrambled images, go for
    that. `|v - 127.5|` of the values of a block is kept.

    Args:
        block_size: the side `M` of a block in pixels, typically 16.

    Returns:
        The scheme, for `uint8` images of any height and width that the block size divides, and up to 6 channels.

    Example:
        >>> [type(step).__name__ for step in etc().transforms]
        ['BlockScrambling', 'RotationFlip', 'NegativePositive', 'ColourShuffling']

    Source: the EtC images of Chuman, Kiya and others.
    """
    steps = (BlockScrambling(), RotationFlip(), NegativePositive(per_block=True), ColourShuffling(per_block=True))
    return Scheme("etc", block_size, steps)
