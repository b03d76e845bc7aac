"""Parts of other networks that this ViT does not have, taken into weights that it has.

Each is an identity of linear maps, exact but for rounding.
"""

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.models.pretrained.checkpoint import Arrays, depth_of, last_projections, scale_name


def fold_layer_scale(kernel: np.ndarray, bias: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the factors by which a branch is multiplied (LayerScale) into its last projection.

    Args:
        kernel: floating [..., D], outputs last.
        bias: floating [D].
        scale: floating [D].

    Returns:
        The projection's new kernel and bias, float32.

    Raises:
        ArgumentError: the shapes do not fit each other.

    Guarantees:
        - The branch computes the same (test_layer_scale_is_folded_exactly).

    Source: Touvron et al., "Going deeper with Image Transformers" (arXiv 2103.17239), section 2.
    """
    if not (kernel.shape[-1:] == bias.shape == scale.shape):
        raise ArgumentError(
            f"scale of shape {list(scale.shape)} does not fit a kernel of {list(kernel.shape)} and a bias of "
            f"{list(bias.shape)}"
        )
    wide = scale.astype(np.float64)
    return (kernel * wide).astype(np.float32), (bias * wide).astype(np.float32)


def fold_layer_scales(arrays: Arrays) -> Arrays:
    """Take every LayerScale of a ViT into the last projection of its branch.

    Args:
        arrays: by the ViT's names; attention may have its heads apart.

    Returns:
        The arrays without the factors, which compute the same.
    """
    arrays = dict(arrays)
    for layer in range(depth_of(arrays)):
        for branch, projection in enumerate(last_projections(layer)):
            scale = arrays.pop(scale_name(layer, branch), None)
            kernel, bias = f"{projection}/kernel", f"{projection}/bias"
            if scale is not None and kernel in arrays and bias in arrays:
                arrays[kernel], arrays[bias] = fold_layer_scale(arrays[kernel], arrays[bias], scale)
    return arrays


def fold_normalisation(
    kernel: np.ndarray, bias: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a patch embedding of pixels `(p - mean) / std` into one of the pixels `2 p - 1` that dkjax feeds.

    All channels are then normalised alike, as they must be where the cipher mixes them, and a plain image gives the
    same tokens as before.

    Args:
        kernel: floating [M, M, C, D].
        bias: floating [D].
        mean: what was subtracted from the pixel values in [0, 1], one a channel.
        std: what they were then divided by, one a channel.

    Returns:
        The new kernel and bias, float32.

    Raises:
        ArgumentError: not one mean and one positive std a channel.

    Guarantees:
        - The same tokens (test_normalisation_is_folded_exactly).
        - With mean = std = 0.5 the weights come back bit by bit (test_halves_change_nothing).
    """
    channels = kernel.shape[2]
    means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if means.shape != (channels,) or stds.shape != (channels,):
        raise ArgumentError(f"mean={mean} and std={std} must have one number for each of {channels} channels")
    if not (np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all()):
        raise ArgumentError(f"mean={mean} and std={std} must be finite, and std positive")
    wide = kernel.astype(np.float64)
    shift = np.einsum("ijcd,c->d", wide, (0.5 - means) / stds)
    scaled = wide * (0.5 / stds)[:, None]
    return scaled.astype(np.float32), (bias + shift).astype(np.float32)


def sum_channels(kernel: np.ndarray) -> np.ndarray:
    """Turn a patch embedding of colour images, [M, M, C, D], into one of grey images, float32[M, M, 1, D].

    A grey image shown to the first as C equal channels gives the tokens that it gives to the second
    (test_grey_image_is_read_as_equal_channels).
    """
    return kernel.astype(np.float64).sum(axis=2, keepdims=True).astype(np.float32)


def spread_grey(kernel: np.ndarray) -> np.ndarray:
    """Turn a patch embedding of grey images, [M, M, 1, D], into one of colour images, float32[M, M, 3, D].

    It reads red, green and blue with the weights of ITU-R 601-2, by which Pillow turns colour into grey; `sum_channels`
    gives the first back bit by bit (test_spread_grey_sums_to_the_same_bits).
    """
    wide = kernel.astype(np.float64)
    # Multiples of one unit in the last place, so that green is one, too, and nothing is rounded in the sum.
    unit = np.spacing(np.abs(kernel.astype(np.float32))).astype(np.float64)
    red, blue = (np.round(share * wide / unit) * unit for share in (0.299, 0.114))
    return np.concatenate([red, wide - red - blue, blue], axis=2).astype(np.float32)
