"""Pixel-based encryption: every pixel is negated and recoloured by itself."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import ColourShuffling, NegativePositive


@register(pixelwise=True)
def pe(block_size: int = 1) -> Scheme:
    """Negative-positive transformation of every value, and colour-component shuffling of every pixel.

    Blocks are single pixels. Each value has a bit of its own that negates it, then each pixel has an order of its
    channels. Meant for one key for all images, or one for each.

    What is known of its protection: every pixel stays at its place and keeps the set of its `|v - 127.5|`, so whatever
    shows in distances from mid-grey, such as dark or bright on grey, still shows.

    Args:
        block_size: 1, as the scheme works pixel by pixel; larger blocks make another scheme, with one order of
            channels a block. A ViT's patch size may be any.

    Returns:
        The scheme, for `uint8` images of any height and width, and up to 6 channels.

    Example:
        >>> pe().transforms
        (NegativePositive(per_block=True, per_value=True), ColourShuffling(per_block=True))

    Source: Sirichotedumrong 2019 (PE).
    """
    return Scheme("pe", block_size, (NegativePositive(per_block=True, per_value=True), ColourShuffling(per_block=True)))
