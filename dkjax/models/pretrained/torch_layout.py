"""Weights as PyTorch lays them out, and tables of names from those of PyTorch models to the ViT's own.

PyTorch keeps a linear map with its outputs first and a convolution as [D, C, M, M]; JAX keeps both with outputs last.
A table is used in both directions, so that what is written is what is read.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from dkjax.errors import DataError
from dkjax.models.pretrained.checkpoint import (
    CLASS_TOKEN,
    EMBEDDING,
    ENCODER_NORM,
    HEAD,
    POSITIONS,
    PROJECTIONS,
    Arrays,
    attention_name,
    block_name,
    scale_name,
)
from dkjax.models.pretrained.report import listed


@dataclasses.dataclass(frozen=True)
class Names:
    """How one family of PyTorch models names the parts of a ViT.

    Attributes:
        embedding: the convolution that embeds patches.
        class_token: the class token.
        positions: the position embedding.
        block: what stands before the parts of block `{}`.
        norms: the two layer norms of a block.
        attention: its projections to query, key and value; a single name if they are one.
        out: its output projection.
        mlp: its two dense layers.
        scales: the factors on its two branches (LayerScale), where the family has them.
        encoder_norm: the last layer norm.
        head: the linear head; None where it reads more than the ViT's does.
        unused: beginnings of names that the ViT does without.
    """

    embedding: str
    class_token: str
    positions: str
    block: str
    norms: tuple[str, str]
    attention: tuple[str, ...]
    out: str
    mlp: tuple[str, str]
    scales: tuple[str, str] | None
    encoder_norm: str
    head: str | None
    unused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One array of a PyTorch model and the arrays of the ViT that it holds, one after the other.

    Attributes:
        name: PyTorch's.
        ours: the ViT's; several where one linear map is several.
        ndim: number of axes that PyTorch's has.
        read: from PyTorch's layout.
        write: to PyTorch's layout.
    """

    name: str
    ours: tuple[str, ...]
    ndim: int
    read: Callable[[np.ndarray], np.ndarray] = lambda array: array
    write: Callable[[np.ndarray], np.ndarray] = lambda array: array


def leaves(names: Names, depth: int) -> Iterator[Leaf]:
    """List the arrays of a ViT of that depth."""
    yield Leaf(
        f"{names.embedding}.weight",
        (f"{EMBEDDING}/kernel",),
        4,
        read=lambda array: array.transpose(2, 3, 1, 0),
        write=lambda array: array.transpose(3, 2, 0, 1),
    )
    yield Leaf(f"{names.embedding}.bias", (f"{EMBEDDING}/bias",), 1)
    yield Leaf(names.class_token, (CLASS_TOKEN,), 3)
    yield Leaf(names.positions, (POSITIONS,), 3)
    for layer in range(depth):
        block = names.block.format(layer)
        for norm, ours in zip(names.norms, ("LayerNorm_0", "LayerNorm_2"), strict=True):
            yield from _norm(block + norm, block_name(layer, ours))
        projections = tuple(attention_name(layer, projection) for projection in PROJECTIONS)
        if len(names.attention) == 1:
            yield from _linear(block + names.attention[0], *projections)
        else:
            for name, ours in zip(names.attention, projections, strict=True):
                yield from _linear(block + name, ours)
        yield from _linear(block + names.out, attention_name(layer, "out"))
        for number, name in enumerate(names.mlp):
            yield from _linear(block + name, block_name(layer, f"MlpBlock_3/Dense_{number}"))
        for branch, name in enumerate(names.scales or ()):
            yield Leaf(block + name, (scale_name(layer, branch),), 1)
    yield from _norm(names.encoder_norm, ENCODER_NORM)
    if names.head is not None:
        yield from _linear(names.head, HEAD)


def from_torch(path: Path, names: Names, state: Mapping[str, np.ndarray]) -> tuple[Arrays, tuple[str, ...]]:
    """Put the arrays of a PyTorch model into the ViT's names.

    Args:
        path: what to call the file in errors.
        names: the family.
        state: the arrays by PyTorch's names, which may all have one prefix before those of the family.

    Returns:
        The arrays that are there, with zeros for biases of query, key and value that are not, and the names without a
        place that the ViT does without.

    Raises:
        DataError: there are several ViTs, an array has the wrong number of axes, or parts that this ViT does not have.
    """
    anchor = f"{names.embedding}.weight"
    prefixes = [name.removesuffix(anchor) for name in state if name.endswith(anchor)]
    if len(prefixes) != 1:
        raise DataError(f"{path} holds {len(prefixes) or 'no'} ViTs; expected one")
    # A head stands outside of the prefix in some families.
    local = {name.removeprefix(prefixes[0]): name for name in sorted(state)}
    used: set[str] = set()
    arrays: Arrays = {}
    for leaf in leaves(names, _depth(names, local)):
        if leaf.name not in local:
            continue
        used.add(leaf.name)
        array = state[local[leaf.name]]
        if array.ndim != leaf.ndim or len(array) % len(leaf.ours):
            raise DataError(f"{path}: {local[leaf.name]} has an impossible shape, {list(array.shape)}")
        for ours, part in zip(leaf.ours, np.split(array, len(leaf.ours)), strict=True):
            arrays[ours] = leaf.read(part)
    for name in [name for name in arrays if re.search(r"Attention_1/(query|key|value)/kernel$", name)]:
        # Attention without these biases is attention with biases of zero.
        arrays.setdefault(name.removesuffix("kernel") + "bias", np.zeros(arrays[name].shape[-1], np.float32))
    rest = [local[name] for name in local if name not in used]
    parts = [name for name in rest if name.startswith(prefixes[0]) and not _unused(name, prefixes[0], names)]
    if parts:
        raise DataError(f"{path} is no plain ViT: it has {listed(parts)}")
    return arrays, tuple(rest)


def to_torch(names: Names, arrays: Arrays, depth: int) -> Arrays:
    """Put the ViT's arrays into PyTorch's names and layout; what the ViT does not have is left out."""
    state: Arrays = {}
    for leaf in leaves(names, depth):
        if leaf.ours[0] in arrays:
            state[leaf.name] = np.ascontiguousarray(np.concatenate([leaf.write(arrays[name]) for name in leaf.ours]))
    return state


def _linear(name: str, *ours: str) -> Iterator[Leaf]:
    yield Leaf(f"{name}.weight", tuple(f"{one}/kernel" for one in ours), 2, read=np.transpose, write=np.transpose)
    yield Leaf(f"{name}.bias", tuple(f"{one}/bias" for one in ours), 1)


def _norm(name: str, ours: str) -> Iterator[Leaf]:
    yield Leaf(f"{name}.weight", (f"{ours}/scale",), 1)
    yield Leaf(f"{name}.bias", (f"{ours}/bias",), 1)


def _depth(names: Names, state: Mapping[str, object]) -> int:
    pattern = re.compile(re.escape(names.block).replace(r"\{\}", r"(\d+)"))
    found = [pattern.match(name) for name in state]
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _unused(name: str, prefix: str, names: Names) -> bool:
    return name.removeprefix(prefix).startswith(names.unused) if names.unused else False
