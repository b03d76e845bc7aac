"""A random orthogonal matrix on every block."""

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.registry import register
from dkjax.cipher.transforms import OrthogonalMatrix


@register
def orthogonal(block_size: int = 16) -> Scheme:
    """Multiply every block by one random orthogonal matrix, the same for all blocks.

    Meant for one key for all images. Images are normalised first, since the matrix of `P*P` real numbers does not
    commute with shifting values.

    What is known of its protection: blocks stay at their place; their norms, and the inner products of any two blocks
    under one key, are those of the plain blocks. The step is linear: `P` known pairs of linearly independent blocks
    give the matrix. With the key, `dkjax.models.adaptation.adapt_embedding_orthogonal` adapts a ViT exactly.

    Args:
        block_size: the side `M` of a block in pixels; the ViT's patch size.

    Returns:
        The scheme, for floating point images of any height and width that the block size divides, and any number of
        channels. Decryption is exact up to the tolerance that `OrthogonalMatrix` states.

    Example:
        >>> orthogonal(4)
        Scheme(name='orthogonal', block_size=4, transforms=(OrthogonalMatrix(),))

    Source: Aso et al. 2023, arXiv 2301.03843.
    """
    return Scheme("orthogonal", block_size, (OrthogonalMatrix(),))
