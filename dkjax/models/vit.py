"""The Vision Transformer: settings in, a pair `init` / `apply` out.

The server trains it as it is: nothing in it knows that its images are encrypted, but that it may be asked to read the
values of each patch in another way than by their places (`dkjax.models.reading`). The patch embedding is one matrix
product over vectors of `P = M*M*C` values in row, column, channel order, the order in which the cipher permutes a
block; it equals the usual convolution of stride M. The parameters carry the names and shapes of the
published checkpoints, so that pretrained weights load without a table of names.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1; the names, the
initialisation and the places of dropout follow github.com/google-research/vision_transformer.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from dkjax.errors import ArgumentError, ConfigError
from dkjax.models.reading import (
    EXCHANGEABLE_FEATURES,
    EXCHANGEABLE_LAYERS,
    RELATION_FEATURES,
    SORTED,
    Reading,
    exchangeable_layer,
    kernel_of_sorted,
    patches_of,
    relations_of,
    sort_patches,
    summarise_patches,
)

Params = dict[str, Any]
"""Parameters: nested plain dictionaries with float32 arrays for leaves."""

LAYER_NORM_EPSILON = 1e-6


class Sizes(NamedTuple):
    """The numbers that a variant's name stands for."""

    width: int
    depth: int
    mlp_dim: int
    heads: int


VARIANTS: Mapping[str, Sizes] = MappingProxyType(
    {
        "mu": Sizes(width=32, depth=1, mlp_dim=128, heads=2),
        "Ti": Sizes(width=192, depth=12, mlp_dim=768, heads=3),
        "S": Sizes(width=384, depth=12, mlp_dim=1536, heads=6),
        "B": Sizes(width=768, depth=12, mlp_dim=3072, heads=12),
        "L": Sizes(width=1024, depth=24, mlp_dim=4096, heads=16),
    }
)
"""The sizes of the literature; `mu` is the small one that tests use."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A ViT as values: its settings, and `init` and `apply` as functions of them alone.

    It holds no array, is hashable, and may be a static argument or a closure of a jitted function. Made by
    `vit`; `dataclasses.replace` gives a changed one, checked again.

    Attributes:
        width: of the embedding, D.
        depth: how many encoder blocks.
        mlp_dim: hidden width of the MLP.
        heads: of attention; they divide the width.
        patch_size: side M of a patch in pixels.
        num_classes: length of the logits.
        pool: "token" reads the class token; "mean" averages the patch tokens and has no class token.
        dropout: rate after the position embedding, inside the MLP, and on the output of MLP and attention.
        stochastic_depth: rate at which the last block's residual branches are dropped, one draw a sample and
            branch; it grows linearly from 0 at the first block, so that it does nothing to a single block.
        patch_dropout: share of the patches, rounded down, that an image is trained without, other ones at every step;
            it needs no picture to be seen in them, and makes steps shorter (arXiv 2208.07220).
        gelu: "tanh" for Google's weights, "exact" for those trained in PyTorch.
        layer_norm_epsilon: added to the variance in layer norms; 1e-6 for all but Hugging Face's conversions.
        reading: "values" embeds the values of a patch by their places; "sorted" sorts them first, so that the order in
            which an encryption left them makes no difference, and embeds the cosine transform of the sorted values;
            "sorted_channels" and "sorted_pixels" sort each channel by itself, or pixels as a whole by their luminance,
            and embed the cosine transform of each channel; "equivariant" adds to "sorted" what an order common to all
            patches of an image leaves, by layers of exchangeable matrices (`dkjax.models.reading`), whose rows are
            patches and whose columns are places of values.
        position_embedding: whether a learned vector of its place is added to every token; without it, the order of the
            patches makes no difference.
        relation_bias: whether every head adds to its scores a number for each pair of patches, which a small MLP makes
            of what the two have in common: their means, standard deviations and histograms, which no order of values
            changes. It is 0 at first, and 0 to and from the class token.
        layer_scale: whether both branches of a block are multiplied by a learned vector, which starts at one
            (LayerScale, arXiv 2103.17239). What was pretrained with it is to be trained on with it: taken into the
            weights before it, it computes the same, but Adam then moves these by more than they are.
        dtype: what the matrix products compute in. Parameters, softmax, the statistics of the layer norms, and
            all that follows the encoder stay in float32.
        remat: whether a block's activations are computed again for the gradient instead of being kept: a third more
            work, and memory for one block instead of all.
    """

    width: int
    depth: int
    mlp_dim: int
    heads: int
    patch_size: int
    num_classes: int
    pool: Literal["token", "mean"] = "token"
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    patch_dropout: float = 0.0
    gelu: Literal["tanh", "exact"] = "tanh"
    layer_norm_epsilon: float = LAYER_NORM_EPSILON
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    reading: Reading = "values"
    position_embedding: bool = True
    relation_bias: bool = False
    layer_scale: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "depth", "mlp_dim", "heads", "patch_size", "num_classes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} is not a positive number")
        for name in ("dropout", "stochastic_depth", "patch_dropout", "layer_norm_epsilon"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name}={getattr(self, name)} is not in [0, 1)")
        for name, known in (
            ("pool", ("token", "mean")),
            ("gelu", ("tanh", "exact")),
            ("dtype", ("float32", "bfloat16")),
            ("reading", get_args(Reading)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}")
        if self.width % self.heads:
            raise ConfigError(f"heads={self.heads} does not divide the model's width={self.width}; change one of them")

    def init(self, prng_key: jax.Array, image_shape: tuple[int, int, int]) -> Params:
        """Draw the parameters for images of one shape.

        Args:
            prng_key: typed PRNG key, shape []; training randomness, never a cipher key.
            image_shape: (H, W, C) of one image; H and W divisible by `patch_size`.

        Returns:
            Nested plain dictionaries of float32 arrays, whatever `dtype` is. Joined with "/", the names are those
            of the published .npz checkpoints.

        Raises:
            ConfigError: `patch_size` does not divide H or W.
            ArgumentError: `image_shape` is not three positive numbers, or `prng_key` is not one typed key.

        Guarantees:
            - The names and shapes of ViT-B/16 are the published ones
              (test_names_and_shapes_are_the_published_ones).
            - The head is zero, hence so are the first logits (test_logits_are_zero_at_init).
        """
        _check_key("prng_key", prng_key)
        _check_image_shape(image_shape, self.patch_size)
        return _init(self, prng_key, tuple(image_shape))

    def apply(self, params: Params, images: jax.Array, *, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute the logits of a batch of images.

        Args:
            params: what `init` gave, or a checkpoint of the same names and shapes.
            images: floating, shape [n, H, W, C], already normalised, all channels alike; plain or encrypted.
            dropout_key: typed PRNG key, shape [], for dropout of any kind; None turns all of it off.

        Returns:
            Logits, float32[n, num_classes].

        Raises:
            ConfigError: `patch_size` does not divide H or W.
            ArgumentError: `images` is not a floating array of four axes, or `params` are for other images.

        Guarantees:
            - The same as an independent PyTorch ViT on the same weights (test_vit_torch.py).
            - The same on one device and on a batch cut over four (test_sharded_batch_gives_the_same_logits).
            - With `reading="sorted"`, the same to the bit for any orders of values inside patches
              (test_sorted_reading_does_not_see_the_order_inside_patches); with "sorted_channels" and "sorted_pixels",
              for what `sorted_blocks` does to images by channel and by luminance
              (test_readings_that_keep_channels_apart_do_not_see_the_encryption).
            - With `reading="equivariant"`, the same up to rounding for any one order of values in all patches of an
              image, and another for orders that differ
              (test_equivariant_reading_does_not_see_a_common_order).
            - With `position_embedding=False`, the same up to rounding for any order of patches
              (test_without_position_embedding_the_order_of_patches_is_invisible).
            - `relation_bias` sees no order of values inside patches, and goes with the patches wherever they are
              (test_relation_bias_sees_neither_order); at `init` it changes nothing
              (test_relation_bias_starts_as_none).
            - One compilation for all batches of one shape (test_new_batches_do_not_recompile).
        """
        if dropout_key is not None:
            _check_key("dropout_key", dropout_key)
        _check_images(self, params, images)
        module = _VisionTransformer(self)
        if dropout_key is None:
            logits = module.apply({"params": params}, images, train=False)
        else:
            logits = module.apply({"params": params}, images, train=True, rngs={"dropout": dropout_key})
        return cast(jax.Array, logits)

    def read(self, images: jax.Array) -> jax.Array:
        """Return images `[n, H, W, C]` as `apply` reads them, which reads these alike: values sorted or as they are."""
        if self.reading not in SORTED:
            return images
        n, height, width, channels = images.shape
        m = self.patch_size
        ordered = sort_patches(patches_of(images, m), channels, self.reading)
        grid = ordered.reshape(n, height // m, width // m, m, m, channels)
        return grid.transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)


def vit(variant: str = "Ti", *, patch_size: int = 16, num_classes: int = 10, **settings: Any) -> Model:
    """Describe a Vision Transformer.

    Args:
        variant: a name of `VARIANTS`, which sets width, depth, mlp_dim and heads.
        patch_size: side M of a patch in pixels; equal to the cipher's block size.
        num_classes: length of the logits.
        **settings: further fields of `Model`; None leaves what the variant or the default says.

    Returns:
        The model, with `init(prng_key, image_shape)` and `apply(params, images, *, dropout_key=None)`.

    Raises:
        ConfigError: the variant or a setting is unknown, or the settings do not fit together.

    Example:
        >>> model = vit("mu", patch_size=4, num_classes=3)
        >>> params = model.init(jax.random.key(0), (8, 12, 3))
        >>> model.apply(params, jnp.zeros((2, 8, 12, 3))).shape
        (2, 3)
    """
    if variant not in VARIANTS:
        raise ConfigError(_unknown_variant(variant))
    known = [field.name for field in dataclasses.fields(Model)]
    if unknown := sorted(settings.keys() - set(known)):
        raise ConfigError(f"a ViT has no setting {unknown[0]!r}: known are {', '.join(known)}")
    given = {name: value for name, value in settings.items() if value is not None}
    return Model(**VARIANTS[variant]._asdict() | given, patch_size=patch_size, num_classes=num_classes)


class _VisionTransformer(nn.Module):
    """Images [n, H, W, C] to logits [n, num_classes]."""

    model: Model

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        model = self.model
        tokens, summaries = _PatchEmbedding(model, name="embedding")(images)
        if model.pool == "token":
            cls = self.param("cls", nn.initializers.zeros, (1, 1, model.width))
            cls = jnp.broadcast_to(cls.astype(tokens.dtype), (tokens.shape[0], 1, model.width))
            tokens = jnp.concatenate([cls, tokens], axis=1)
        tokens = _Encoder(model, name="Transformer")(tokens, summaries, train=train)
        # With a class token the encoder returns that token alone, and its mean is itself.
        pooled = tokens.mean(axis=1)
        return nn.Dense(model.num_classes, kernel_init=nn.initializers.zeros, name="head")(pooled)


class _PatchEmbedding(nn.Module):
    """Images [n, H, W, C] to patch tokens [n, N, D]: the convolution of stride M, as one matrix product.

    For a relation bias, a summary of each patch is returned, too.
    """

    model: Model

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        model, (n, _, _, channels) = self.model, images.shape
        m, dtype = model.patch_size, model.dtype
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (m, m, channels, model.width))
        bias = self.param("bias", nn.initializers.zeros, (model.width,))
        kernel = kernel.reshape(m * m * channels, model.width)
        read = patches = patches_of(images, m)
        if model.reading != "values":
            # Sorted before they are rounded to `dtype`, after which the luminance of pixels is another.
            read = sort_patches(patches, channels, model.reading)
            kernel = kernel_of_sorted(kernel, channels, model.reading)
        tokens = read.astype(dtype) @ kernel.astype(dtype) + bias.astype(dtype).reshape(1, model.width)
        if model.reading == "equivariant":
            exchangeable = nn.remat(_Exchangeable) if model.remat else _Exchangeable
            values = patches.astype(dtype).reshape(n, -1, m * m * channels)
            tokens += exchangeable(model.width, name="exchangeable")(values)
        summaries = None
        if model.relation_bias:
            ordered = read if model.reading in ("sorted", "equivariant") else sort_patches(patches)
            summaries = summarise_patches(ordered.reshape(n, -1, m * m * channels))
        return tokens.reshape(n, -1, model.width), summaries


class _Exchangeable(nn.Module):
    """Values [n, N, P] of patches, in one order that nobody knows, to what can be told of each patch, [n N, D]."""

    width: int

    @nn.compact
    def __call__(self, values: jax.Array) -> jax.Array:
        matrix = values[..., None]
        # The bias begins as random numbers: of values around 0, the means that layers see would be nearly linear.
        for layer in range(EXCHANGEABLE_LAYERS):
            shape = (4, matrix.shape[-1], EXCHANGEABLE_FEATURES)
            kernel = self.param(f"kernel_{layer}", nn.initializers.lecun_normal(in_axis=(0, 1)), shape)
            bias = self.param(f"bias_{layer}", nn.initializers.normal(0.5), shape[2:])
            matrix = nn.gelu(exchangeable_layer(matrix, kernel, bias))
        pooled = matrix.mean(axis=2).reshape(-1, EXCHANGEABLE_FEATURES)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (EXCHANGEABLE_FEATURES, self.width))
        return pooled @ kernel.astype(pooled.dtype)


class _Encoder(nn.Module):
    """Tokens [n, L, D] to float32[n, 1, D], the class token encoded, or float32[n, L, D] when there is none."""

    model: Model

    @nn.compact
    def __call__(self, tokens: jax.Array, summaries: jax.Array | None, *, train: bool) -> jax.Array:
        model = self.model
        if model.position_embedding:
            tokens = _PositionEmbedding(name="posembed_input")(tokens)
        if train and model.patch_dropout:
            tokens, summaries = _drop_patches(self.make_rng("dropout"), tokens, summaries, model)
        relations = None if summaries is None else _Relations(name="relations")(summaries)
        tokens = nn.Dropout(model.dropout, deterministic=not train)(tokens)
        block = nn.remat(_EncoderBlock) if model.remat else _EncoderBlock
        for layer in range(model.depth):
            last = layer == model.depth - 1
            tokens = block(
                model,
                train=train,
                drop_path=model.stochastic_depth * layer / max(model.depth - 1, 1),
                # Only the last block's class token is read: its other queries and MLPs need no computing.
                first_token_only=last and model.pool == "token",
                name=f"encoderblock_{layer}",
            )(tokens, relations)
        return nn.LayerNorm(epsilon=model.layer_norm_epsilon, dtype=jnp.float32, name="encoder_norm")(tokens)


class _Relations(nn.Module):
    """Summaries [n, N, K + 1] of patches to features [n, F, N, N] of their pairs."""

    @nn.compact
    def __call__(self, summaries: jax.Array) -> jax.Array:
        relations = relations_of(summaries)
        # Differences are small beside 1, where the GELU is nearly linear: both begin larger than elsewhere.
        kernel = self.param("kernel", nn.initializers.normal(1.0), (relations.shape[1], RELATION_FEATURES))
        bias = self.param("bias", nn.initializers.normal(0.5), (RELATION_FEATURES,))
        return nn.gelu(jnp.einsum("nrqk,rf->nfqk", relations, kernel) + bias.reshape(1, -1, 1, 1))


class _RelationBias(nn.Module):
    """Features [n, F, N, N] of pairs of patches to what each head adds to its scores, [n, heads, L, L]."""

    heads: int
    class_tokens: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.zeros, (features.shape[1], self.heads))
        bias = jnp.einsum("nfqk,fh->nhqk", features, kernel)
        return jnp.pad(bias, ((0, 0), (0, 0), (self.class_tokens, 0), (self.class_tokens, 0)))


def _drop_patches(
    key: jax.Array, tokens: jax.Array, summaries: jax.Array | None, model: Model
) -> tuple[jax.Array, jax.Array | None]:
    """Keep a random part of each sample's patches and their summaries, and the class token where there is one."""
    first = int(model.pool == "token")
    n, count = tokens.shape[0], tokens.shape[1] - first
    kept = count - int(count * model.patch_dropout)
    patches = jax.lax.top_k(jax.random.uniform(key, (n, count)), kept)[1]
    if summaries is not None:
        summaries = jnp.take_along_axis(summaries, patches[:, :, None], axis=1)
    chosen = jnp.concatenate([jnp.zeros((n, first), patches.dtype), first + patches], axis=1)
    return jnp.take_along_axis(tokens, chosen[:, :, None], axis=1), summaries


class _PositionEmbedding(nn.Module):
    """Tokens plus one learned vector a position."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        embedding = self.param("pos_embedding", nn.initializers.normal(stddev=0.02), (1, *tokens.shape[1:]))
        return tokens + embedding.astype(tokens.dtype)


class _EncoderBlock(nn.Module):
    """One pre-norm block of attention and MLP; the published names count its four layers from 0 to 3."""

    model: Model
    train: bool
    drop_path: float
    first_token_only: bool

    @nn.compact
    def __call__(self, tokens: jax.Array, relations: jax.Array | None) -> jax.Array:
        model, train = self.model, self.train
        norm = partial(nn.LayerNorm, epsilon=model.layer_norm_epsilon, dtype=model.dtype)
        # One draw a sample and branch: all tokens of the sample keep the branch, or none does.
        drop_branch = partial(nn.Dropout, self.drop_path, broadcast_dims=(1, 2), deterministic=not train)

        normed = norm(name="LayerNorm_0")(tokens)
        if self.first_token_only:
            tokens, queries = tokens[:, :1], normed[:, :1]
        else:
            queries = normed
        bias = None
        if relations is not None and not self.first_token_only:
            bias = _RelationBias(model.heads, int(model.pool == "token"), name="relation_bias")(relations)
        branch = _Attention(model.heads, model.dtype, name="MultiHeadDotProductAttention_1")(queries, normed, bias)
        branch = nn.Dropout(model.dropout, deterministic=not train)(branch)
        if model.layer_scale:
            branch = _LayerScale(name="LayerScale_0")(branch)
        tokens = tokens + drop_branch()(branch)

        normed = norm(name="LayerNorm_2")(tokens)
        branch = _Mlp(model, name="MlpBlock_3")(normed, train=train)
        if model.layer_scale:
            branch = _LayerScale(name="LayerScale_1")(branch)
        return tokens + drop_branch()(branch)


class _LayerScale(nn.Module):
    """Tokens [n, L, D] times one learned vector."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, tokens.shape[-1:])
        return tokens * scale.astype(tokens.dtype).reshape(1, 1, -1)


class _Attention(nn.Module):
    """Queries [n, Q, D] over tokens [n, L, D] to [n, Q, D], scores plus bias [n, heads, Q, L]; softmax in float32.

    Products with weights are of matrices, and those between tokens have the axes of samples and heads in front: XLA for
    CPU and Eigen compute other layouts at a fraction of the speed; GPUs and TPUs do not mind.
    """

    heads: int
    dtype: str

    @nn.compact
    def __call__(self, queries: jax.Array, tokens: jax.Array, bias: jax.Array | None) -> jax.Array:
        n, count, width = queries.shape
        head_dim = width // self.heads

        def by_head(name: str, tokens: jax.Array) -> jax.Array:
            rows = tokens.reshape(-1, width)
            projected = _Projection((width,), (self.heads, head_dim), self.dtype, name=name)(rows)
            return projected.reshape(n, -1, self.heads, head_dim).transpose(0, 2, 1, 3)

        query, key, value = by_head("query", queries), by_head("key", tokens), by_head("value", tokens)
        scores = jnp.einsum("nhqd,nhkd->nhqk", query, key, preferred_element_type=jnp.float32)
        scores = scores * head_dim**-0.5
        weights = jax.nn.softmax(scores if bias is None else scores + bias).astype(value.dtype)
        mixed = jnp.einsum("nhqk,nhkd->nhqd", weights, value).transpose(0, 2, 1, 3)
        out = _Projection((self.heads, head_dim), (width,), self.dtype, name="out")(mixed.reshape(-1, width))
        return out.reshape(n, count, width)


class _Projection(nn.Module):
    """Rows [r, prod(inputs)] to [r, prod(outputs)], by parameters that keep the axes of the heads."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dtype: str

    @nn.compact
    def __call__(self, rows: jax.Array) -> jax.Array:
        matrix = (math.prod(self.inputs), math.prod(self.outputs))

        def draw(key: jax.Array) -> jax.Array:
            return nn.initializers.xavier_uniform()(key, matrix).reshape(*self.inputs, *self.outputs)

        kernel = self.param("kernel", draw)
        bias = self.param("bias", nn.initializers.zeros, self.outputs)
        rows, kernel, bias = (array.astype(self.dtype) for array in (rows, kernel, bias))
        return rows @ kernel.reshape(matrix) + bias.reshape(1, -1)


class _Mlp(nn.Module):
    """Two dense layers with a GELU between them, dropout after each."""

    model: Model

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        model = self.model
        dense = partial(
            nn.Dense,
            dtype=model.dtype,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(stddev=1e-6),
        )
        rows = tokens.reshape(-1, tokens.shape[-1])
        hidden = nn.gelu(dense(model.mlp_dim, name="Dense_0")(rows), approximate=model.gelu == "tanh")
        hidden = nn.Dropout(model.dropout, deterministic=not train)(hidden)
        out = dense(tokens.shape[-1], name="Dense_1")(hidden)
        return nn.Dropout(model.dropout, deterministic=not train)(out).reshape(tokens.shape)


@partial(jax.jit, static_argnums=(0, 2))
def _init(model: Model, prng_key: jax.Array, image_shape: tuple[int, int, int]) -> Params:
    """Initialise under jit, so that the forward pass by which Linen learns the shapes is never run."""
    return _VisionTransformer(model).init(prng_key, jnp.zeros((1, *image_shape)), train=False)["params"]


def _check_key(name: str, key: jax.Array) -> None:
    """Refuse what is not one typed PRNG key."""
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ()):
        raise ArgumentError(f"{name} must be one typed PRNG key, as jax.random.key gives it; got {type(key).__name__}")


def _check_image_shape(shape: tuple[int, ...], patch_size: int) -> None:
    """Refuse images that the patches do not tile."""
    if len(shape) != 3 or min(shape) < 1:
        raise ArgumentError(f"image_shape must be (height, width, channels), all positive; got {tuple(shape)}")
    for name, size in zip(("height", "width"), shape, strict=False):
        if size % patch_size:
            raise ConfigError(
                f"patch_size={patch_size} does not divide {name}={size}; resize the images to a multiple of "
                f"{patch_size} or change patch_size"
            )


def _check_images(model: Model, params: Params, images: jax.Array) -> None:
    """Refuse images that the parameters were not made for, before Linen says so less clearly."""
    if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ArgumentError(
            "images must be normalised floating numbers of shape [n, H, W, C]; "
            f"got {images.dtype} of shape {images.shape}"
        )
    height, width, channels = images.shape[1:]
    _check_image_shape(images.shape[1:], model.patch_size)
    m = model.patch_size
    tokens = height * width // m**2 + (model.pool == "token")
    expected_shapes: dict[str, tuple[int, ...]] = {"embedding/kernel": (m, m, channels, model.width)}
    if model.position_embedding:
        expected_shapes["Transformer/posembed_input/pos_embedding"] = (1, tokens, model.width)
    for path, expected in expected_shapes.items():
        leaf: Any = params
        for name in path.split("/"):
            leaf = leaf.get(name, {})
        if getattr(leaf, "shape", None) != expected:
            raise ArgumentError(
                f"pool={model.pool!r} on images of shape {images.shape[1:]} needs params with {path} of "
                f"shape {expected}; got {getattr(leaf, 'shape', None)}"
            )


def _unknown_variant(variant: str) -> str:
    """Say which variants there are, and which was probably meant."""
    lowered = {name.lower(): name for name in VARIANTS}
    nearest = difflib.get_close_matches(variant.lower(), lowered, n=1, cutoff=0.4)
    hint = f"; did you mean {lowered[nearest[0]]!r}?" if nearest else ""
    return f"variant={variant!r} is not one of {', '.join(VARIANTS)}{hint}"
