"""The negative-positive transformation of blocks and nothing else."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import NegativePositive


@register
def negative_positive(block_size: int = 16) -> Scheme:
    """Negate all values of a block or none, by a bit of its own for every block.

    Meant as the weakest step of `etc`, alone, to compare with; under any keys.

    What is known of its protection: blocks and values stay at their place, and a block is shown as it is or as its
    negative; there are two ways to look at each.

    Args:
        block_size: the side `M` of a block in pixels.

    Returns:
        The scheme, for `uint8` images of any height and width that the block size divides, and any number of channels.

    Example:
        >>> negative_positive(8).transforms
        (NegativePositive(per_block=True, per_value=False),)

    Source: the negative-positive step of the EtC images of Chuman, Kiya and others.
    """
    return Scheme("negative_positive", block_size, (NegativePositive(per_block=True),))
