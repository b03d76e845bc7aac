"""The small steps that a scheme is made of, one a file."""

from dkjax.cipher.transforms.block_scrambling import BlockScrambling
from dkjax.cipher.transforms.blockwise_pixel_permutation import BlockwisePixelPermutation
from dkjax.cipher.transforms.colour_shuffling import ColourShuffling
from dkjax.cipher.transforms.negative_positive import NegativePositive
from dkjax.cipher.transforms.nibble_shuffling import NibbleShuffling
from dkjax.cipher.transforms.noisy_counts import NoisyCounts
from dkjax.cipher.transforms.orthogonal_matrix import OrthogonalMatrix
from dkjax.cipher.transforms.pixel_permutation import PixelPermutation
from dkjax.cipher.transforms.quantisation import Quantisation
from dkjax.cipher.transforms.rotation_flip import RotationFlip
from dkjax.cipher.transforms.sorted_values import SortedValues
from dkjax.cipher.transforms.transform import Leaves, Transform

__all__ = [
    "BlockScrambling",
    "BlockwisePixelPermutation",
    "ColourShuffling",
    "Leaves",
    "NegativePositive",
    "NibbleShuffling",
    "NoisyCounts",
    "OrthogonalMatrix",
    "PixelPermutation",
    "Quantisation",
    "RotationFlip",
    "SortedValues",
    "Transform",
]
