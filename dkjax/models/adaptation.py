"""A plain ViT turned into one for images that were all encrypted under one key.

A ViT reads a block by one linear map and adds one vector for its position. A permutation of the values of every
block therefore undoes itself in the rows of that map, and a permutation of the blocks in the order of those vectors;
the encoder does not mind the order of its tokens. An orthogonal matrix that multiplies every block is undone in that
map likewise. The adapted model gives for an encrypted image what the first model gives for the plain one. Under
disposable keys no such model exists: each image would need its own.

Source: Kiya et al., "Image and Model Transformation with Secret Key for Vision Transformer" (arXiv 2207.05366);
Nagamori, Shiota and Kiya, "Domain Adaptation for Efficiently Fine-tuning Vision Transformer with Encrypted Images"
(arXiv 2308.07612).
"""

import math

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
        ArgumentError: the parameters have no position embedding, or a permutation has the wrong shape or dtype for
            them or, where its values are known (not under `jit`), is no permutation.

    Guarantees:
        - Same logits for an encrypted image as before for the plain one
          (test_adapted_model_reads_encrypted_images).
        - Fine-tuning goes the same way, too: training adapted parameters on encrypted images is training the plain
          ones on plain images (test_training_adapted_is_training_plain).
        - Adapting by the inverse permutations gives the parameters back (test_inverse_restores_the_parameters).
    """
    if "posembed_input" not in params["Transformer"]:
        raise ArgumentError("params have no position embedding, which is what an order of blocks is taken in by")
    kernel = jnp.asarray(params["embedding"]["kernel"])
    positions = jnp.asarray(params["Transformer"]["posembed_input"]["pos_embedding"])
    class_tokens = int("cls" in params)
    num_values = math.prod(kernel.shape[:3])
    num_blocks = positions.shape[1] - class_tokens
    _check_permutation("block_permutation", block_permutation, num_blocks, "position embeddings of blocks")
    _check_permutation("pixel_permutation", pixel_permutation, num_values, "values in a block")

    rows = kernel.reshape(num_values, -1)[pixel_permutation, :]
    of_class, of_blocks = positions[:, :class_tokens], positions[:, class_tokens:]
    positions = jnp.concatenate([of_class, of_blocks[:, block_permutation, :]], axis=1)
    transformer = params["Transformer"]
    return {
        **_with_kernel(params, rows),
        "Transformer": {
            **transformer,
            "posembed_input": {**transformer["posembed_input"], "pos_embedding": positions},
        },
    }


def adapt_embedding_orthogonal(params: Params, matrix: jax.Array) -> Params:
    """Adapt a ViT for plain images to images whose blocks were multiplied by one orthogonal matrix.

    A block of the encrypted image, a row vector, is the plain one times the matrix; so the patch embedding becomes
    the transposed matrix times the patch embedding. All other leaves are passed on as they are. With the scheme
    `orthogonal`, `(matrix,) = dkjax.cipher.sample(scheme, image_key, image_shape)`.

    The images that are encrypted must be those that the ViT reads, normalised already: shifting their values after
    encryption is not what the plain ViT saw.

    Args:
        params: parameters of a ViT for plain images.
        matrix: floating point numbers, shape [P, P], P = M*M*C the number of values in a block.

    Returns:
        Parameters of the same names, shapes and dtypes. They tell the matrix to whoever holds the plain ones: they
        are as secret as the key.

    Raises:
        ArgumentError: the matrix has the wrong shape or dtype for these parameters or, where its values are known
            (not under `jit`), is not orthogonal.

    Guarantees:
        - Same logits for an encrypted image as before for the plain one, up to rounding
          (test_adapted_model_reads_images_under_an_orthogonal_matrix).
        - Adapting by the transposed matrix gives the parameters back
          (test_transposed_matrix_restores_the_parameters).

    Source: Aso et al. 2023 (arXiv 2301.03843).
    """
    kernel = jnp.asarray(params["embedding"]["kernel"])
    num_values = math.prod(kernel.shape[:3])
    if not jnp.issubdtype(matrix.dtype, jnp.floating):
        raise ArgumentError(f"matrix must hold floating point numbers; got {matrix.dtype}")
    if matrix.shape != (num_values, num_values):
        raise ArgumentError(
            f"matrix must have shape ({num_values}, {num_values}), as params have {num_values} values in a block; "
            f"got {matrix.shape}{_why_not_several(matrix.ndim > 2)}"
        )
    if not isinstance(matrix, jax.core.Tracer):
        known = np.asarray(matrix, np.float64)
        if not np.allclose(known @ known.T, np.eye(num_values), rtol=0, atol=1e-4):
            raise ArgumentError("matrix must be orthogonal: its product with its transpose is not the identity")
    rows = jnp.matmul(matrix.T, kernel.reshape(num_values, -1), precision=jax.lax.Precision.HIGHEST)
    return _with_kernel(params, rows.astype(kernel.dtype))


def _with_kernel(params: Params, rows: jax.Array) -> Params:
    """Give the patch embedding other rows, `[P, D]`."""
    embedding = params["embedding"]
    return {**params, "embedding": {**embedding, "kernel": rows.reshape(embedding["kernel"].shape)}}


def _why_not_several(several: bool) -> str:
    """Say why the draws of several keys are refused, if they are."""
    return (
        ": these are the draws of several keys, and no single embedding undoes more than one; "
        "adapt to one shared key, or leave the model as it is"
        if several
        else ""
    )


def _check_permutation(name: str, permutation: jax.Array, length: int, what: str) -> None:
    """Refuse what does not permute `length` things; the text never shows the values, which are a secret."""
    if not jnp.issubdtype(permutation.dtype, jnp.integer):
        raise ArgumentError(f"{name} must hold integers; got {permutation.dtype}")
    if permutation.shape != (length,):
        raise ArgumentError(
            f"{name} must have shape ({length},), as params have {length} {what}; "
            f"got {permutation.shape}{_why_not_several(permutation.ndim > 1)}"
        )
    if isinstance(permutation, jax.core.Tracer):
        return
    if not np.array_equal(np.sort(np.asarray(permutation)), np.arange(length)):
        raise ArgumentError(f"{name} must hold each of 0 to {length - 1} once")
