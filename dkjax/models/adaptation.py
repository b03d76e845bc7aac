"""A plain ViT turned into one for images that were all encrypted under one key.

A ViT reads a block by one linear map and adds one vector for its position. A permutation of the values of every
block therefore undoes itself in the rows of that map, and a permutation of the blocks in the order of those vectors;
the encoder does not mind the order of its tokens. The adapted model gives for an encrypted image what the first
model gives for the plain one. Under disposable keys no such pair of permutations exists: each image has its own.

Source: Kiya et al., "Image and Model Transformation with Secret Key for Vision Transformer" (arXiv 2207.05366);
Nagamori, Shiota and Kiya, "Domain Adaptation for Efficiently Fine-tuning Vision Transformer with Encrypted Images"
(arXiv 2308.07612).
"""

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.errors import ArgumentError
from dkjax.models.vit import Params


def adapt_embedding(params: Params, block_permutation: jax.Array, pixel_permutation: jax.Array) -> Params:
    """Adapt a ViT for plain images to images encrypted under one key.

    The permutations act by gather: value i of block j of the encrypted image is value `pixel_permutation[i]` of
    block `block_permutation[j]` of the plain one. The rows of the patch embedding are gathered by the pixel
    permutation and the position embeddings by the block permutation; all other leaves, the class token and its
    position among them, are passed on as they are.

    Args:
        params: parameters of a ViT for plain images.
        block_permutation: integers, shape [N], N the number of blocks.
        pixel_permutation: integers, shape [P], P = M*M*C the number of values in a block.

    Returns:
        Parameters of the same names, shapes and dtypes. They tell the permutations to whoever holds the plain
        ones: they are as secret as the key.

    Raises:
        ArgumentError: a permutation has the wrong shape or dtype for these parameters or, where its values are
            known (not under `jit`), is no permutation.

    Guarantees:
        - Same logits for an encrypted image as before for the plain one
          (test_adapted_model_reads_encrypted_images).
        - Fine-tuning goes the same way, too: training adapted parameters on encrypted images is training the plain
          ones on plain images (test_training_adapted_is_training_plain).
        - Adapting by the inverse permutations gives the parameters back (test_inverse_restores_the_parameters).
    """
    kernel = jnp.asarray(params["embedding"]["kernel"])
    positions = jnp.asarray(params["Transformer"]["posembed_input"]["pos_embedding"])
    patch_height, patch_width, channels, width = kernel.shape
    class_tokens = int("cls" in params)
    num_values = patch_height * patch_width * channels
    num_blocks = positions.shape[1] - class_tokens
    _check_permutation("block_permutation", block_permutation, num_blocks, "position embeddings of blocks")
    _check_permutation("pixel_permutation", pixel_permutation, num_values, "values in a block")

    rows = kernel.reshape(num_values, width)[pixel_permutation, :]
    of_class, of_blocks = positions[:, :class_tokens], positions[:, class_tokens:]
    positions = jnp.concatenate([of_class, of_blocks[:, block_permutation, :]], axis=1)
    transformer = params["Transformer"]
    return {
        **params,
        "embedding": {**params["embedding"], "kernel": rows.reshape(kernel.shape)},
        "Transformer": {
            **transformer,
            "posembed_input": {**transformer["posembed_input"], "pos_embedding": positions},
        },
    }


def _check_permutation(name: str, permutation: jax.Array, length: int, what: str) -> None:
    """Refuse what does not permute `length` things; the text never shows the values, which are a secret."""
    if not jnp.issubdtype(permutation.dtype, jnp.integer):
        raise ArgumentError(f"{name} must hold integers; got {permutation.dtype}")
    if permutation.shape != (length,):
        raise ArgumentError(
            f"{name} must have shape ({length},), as params have {length} {what}; got {permutation.shape}"
        )
    if isinstance(permutation, jax.core.Tracer):
        return
    if not np.array_equal(np.sort(np.asarray(permutation)), np.arange(length)):
        raise ArgumentError(f"{name} must hold each of 0 to {length - 1} once")
