"""What a file of weights holds, once it is put into the ViT's own names."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.models.reading import Reading
from dkjax.models.vit import LAYER_NORM_EPSILON, Model

Arrays = dict[str, np.ndarray]
"""Arrays by the ViT's names, joined with "/", float32; what attention does by heads lies flat, `[D, D]` and `[D]`."""

EMBEDDING = "embedding"
CLASS_TOKEN = "cls"
POSITIONS = "Transformer/posembed_input/pos_embedding"
ENCODER_NORM = "Transformer/encoder_norm"
HEAD = "head"
PROJECTIONS = ("query", "key", "value")


def by_name(params: Any) -> dict[str, Any]:
    """Return the leaves of a tree of parameters, or of their shapes, by their names joined with "/"."""
    return {"/".join(str(part.key) for part in where): leaf for where, leaf in jax.tree.leaves_with_path(params)}


def block_name(layer: int, part: str) -> str:
    """Name a part of an encoder block, such as `LayerNorm_0/scale`."""
    return f"Transformer/encoderblock_{layer}/{part}"


def attention_name(layer: int, projection: str) -> str:
    """Name one of the four projections of a block's attention: `query`, `key`, `value` or `out`."""
    return block_name(layer, f"MultiHeadDotProductAttention_1/{projection}")


def last_projections(layer: int) -> tuple[str, str]:
    """Name the last linear map of a block's attention and that of its MLP."""
    return attention_name(layer, "out"), block_name(layer, "MlpBlock_3/Dense_1")


def scale_name(layer: int, branch: int) -> str:
    """Name the factors on a block's attention (branch 0) or MLP (1), where it has LayerScale."""
    return block_name(layer, f"LayerScale_{branch}/scale")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Arrays by the ViT's names, and what else the file and its companions say.

    Attributes:
        path: the file or folder it came from.
        format: what it is, in words.
        arrays: see `Arrays`.
        gelu: which one the network was trained with.
        unexpected: names in the file that have no place in the ViT, and that it does without.
        heads: number of attention heads; None where the file does not say.
        layer_norm_epsilon: of all its layer norms.
        grid: rows and columns of the position embedding; None where the file does not say.
        mean: of the pixel values in [0, 1] that were subtracted, one a channel; None where the file does not say.
        std: what they were then divided by, likewise.
        sincos: the position embedding is not learned but the fixed one of sines and cosines.
        reading: how it reads patches; other libraries' networks know "values" alone.
    """

    path: Path
    format: str
    arrays: Mapping[str, np.ndarray]
    gelu: Literal["tanh", "exact"]
    unexpected: tuple[str, ...] = ()
    heads: int | None = None
    layer_norm_epsilon: float = LAYER_NORM_EPSILON
    grid: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sincos: bool = False
    reading: Reading = "values"


@dataclasses.dataclass(frozen=True)
class Description:
    """The settings that a checkpoint fixes.

    Attributes:
        format: what it is, in words.
        width: embedding width D.
        depth: number of encoder blocks.
        mlp_dim: hidden width of the MLP.
        heads: number of attention heads; None where neither the file nor its width says it.
        patch_size: side of a patch in pixels.
        channels: of the images it reads.
        grid: rows and columns of the position embedding; None where the file does not say and it is no square.
        num_classes: length of its logits; None without a head that can be kept.
        pool: "token" where there is a class token, else "mean".
        gelu: which one the network was trained with.
        layer_norm_epsilon: of its layer norms.
        layer_scale: whether its branches are multiplied by vectors.
        mean: see `load_pretrained`; None where the file does not say.
        std: likewise.
    """

    format: str
    width: int
    depth: int
    mlp_dim: int
    heads: int | None
    patch_size: int
    channels: int
    grid: tuple[int, int] | None
    num_classes: int | None
    pool: Literal["token", "mean"]
    gelu: Literal["tanh", "exact"]
    layer_norm_epsilon: float
    layer_scale: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def model(self, num_classes: int | None = None, *, heads: int | None = None) -> Model:
        """Return the model that the checkpoint is of.

        Args:
            num_classes: length of the logits; the checkpoint's own if None.
            heads: number of attention heads where the file does not say.

        Returns:
            The model; `dataclasses.replace` sets dropout, dtype and the like.

        Raises:
            ConfigError: the checkpoint has no head and `num_classes` is None, or `heads` is not the checkpoint's, or
                neither says them.
        """
        num_classes = num_classes or self.num_classes
        if num_classes is None:
            raise ConfigError("the checkpoint has no head: say num_classes")
        if heads and self.heads and heads != self.heads:
            raise ConfigError(f"heads={heads}, and the checkpoint has {self.heads}; leave heads away")
        if not (heads := self.heads or heads):
            raise ConfigError("the checkpoint does not say how many attention heads it has: say heads")
        return Model(
            width=self.width,
            depth=self.depth,
            mlp_dim=self.mlp_dim,
            heads=heads,
            patch_size=self.patch_size,
            num_classes=num_classes,
            pool=self.pool,
            gelu=self.gelu,
            layer_norm_epsilon=self.layer_norm_epsilon,
            layer_scale=self.layer_scale,
        )


def description_of(checkpoint: Checkpoint) -> Description:
    """Read the settings off the shapes of a checkpoint's arrays.

    Raises:
        DataError: an array that says them is missing or has an impossible shape.
    """
    kernel = _array(checkpoint, f"{EMBEDDING}/kernel", ndim=4)
    height, patch_size, channels, width = kernel.shape
    if height != patch_size or 0 in kernel.shape:
        raise DataError(f"{checkpoint.path}: its patches are {height}x{patch_size}; they must be square")
    head = checkpoint.arrays.get(f"{HEAD}/kernel")
    return Description(
        format=checkpoint.format,
        width=width,
        depth=depth_of(checkpoint.arrays),
        mlp_dim=_array(checkpoint, block_name(0, "MlpBlock_3/Dense_0/kernel"), ndim=2).shape[1],
        heads=checkpoint.heads,
        patch_size=patch_size,
        channels=channels,
        grid=checkpoint.grid or _square_grid(checkpoint),
        num_classes=head.shape[1] if head is not None and head.ndim == 2 else None,
        pool="token" if CLASS_TOKEN in checkpoint.arrays else "mean",
        gelu=checkpoint.gelu,
        layer_norm_epsilon=checkpoint.layer_norm_epsilon,
        layer_scale=scale_name(0, 0) in checkpoint.arrays,
        mean=checkpoint.mean,
        std=checkpoint.std,
    )


def depth_of(names: Iterable[str]) -> int:
    """Count the encoder blocks."""
    found = [re.match(r"Transformer/encoderblock_(\d+)/", name) for name in names]
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _array(checkpoint: Checkpoint, name: str, ndim: int) -> np.ndarray:
    array = checkpoint.arrays.get(name)
    if array is None:
        raise DataError(f"{checkpoint.path} is no whole ViT: {name} is missing")
    if array.ndim != ndim:
        raise DataError(f"{checkpoint.path}: {name} has shape {list(array.shape)}; expected {ndim} axes")
    return array


def _square_grid(checkpoint: Checkpoint) -> tuple[int, int] | None:
    """The grid of a position embedding that is as wide as high, with or without a row for the class token."""
    positions = checkpoint.arrays.get(POSITIONS)
    if positions is None:
        return None
    length = positions.shape[-2] if positions.ndim > 1 else 0
    for num_positions in (length - 1, length) if CLASS_TOKEN in checkpoint.arrays else (length,):
        side = math.isqrt(max(num_positions, 0))
        if side and side * side == num_positions:
            return side, side
    return None
