"""Google's `.npz` checkpoints: ViT and AugReg, big_vision, and what came between.

All use the names that the ViT here has, but over the years the numbers of the layers in a block were counted in two
ways, the position embedding moved, prefixes came and went, and some store all blocks in one array. Numbers are read
by their order within a kind of layer, so every way of counting is understood.

Source: github.com/google-research/vision_transformer (`vit_jax/checkpoint.py`) and
github.com/google-research/big_vision (`models/vit.py`).
"""

import re
from pathlib import Path

import numpy as np

from dkjax.errors import DataError
from dkjax.formats.npz import array_names, read_array
from dkjax.models.pretrained.checkpoint import (
    HEAD,
    POSITIONS,
    PROJECTIONS,
    Arrays,
    Checkpoint,
    attention_name,
    block_name,
    depth_of,
)
from dkjax.models.pretrained.report import listed

PREFIXES = ("", "opt/target/", "params/", "params/img/", "img/")
"""What may stand before the names: nothing, the optimizer's target, the parameters, the image tower of two."""

POSITION_PLACES = (POSITIONS, "Transformer/pos_embedding", "pos_embedding")
LAYERS = {
    "LayerNorm": ("LayerNorm_0", "LayerNorm_2"),
    "MultiHeadDotProductAttention": ("MultiHeadDotProductAttention_1",),
    "MlpBlock": ("MlpBlock_3",),
}
"""The ViT's names of a block's layers by their kind, in order."""

PRE_LOGITS = "pre_logits/"
_BLOCK = re.compile(r"Transformer/encoderblock(?:_(\d+))?/([A-Za-z]+)_(\d+)/(.+)")


def read_google(path: Path) -> Checkpoint:
    """Read a checkpoint with Google's names.

    Args:
        path: an `.npz` file.

    Returns:
        The checkpoint. Without a position embedding, in a file that counts as big_vision does, it is the fixed one
        of sines and cosines.

    Raises:
        DataError: the file is damaged, is no ViT, or has parts that this ViT does not have.

    Guarantees:
        - Every way of naming gives the same arrays (test_every_generation_of_names).
        - Attention pooling, hybrids with a ResNet and other ViTs are refused (test_other_networks_are_refused).
    """
    names = array_names(path)
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}embedding/kernel" in names), None)
    if prefix is None:
        raise DataError(f"{path} holds no ViT: there is no embedding/kernel among {listed(sorted(names)) or 'nothing'}")
    inside = sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))
    outside = sorted(name for name in names if not name.startswith(prefix))
    arrays = _in_our_names(path, {name: read_array(path, prefix + name) for name in inside})
    heads = _flatten_attention(path, arrays)
    unexpected = [name for name in arrays if not _has_a_place(name)]
    if parts := [name for name in unexpected if not name.startswith(PRE_LOGITS)]:
        raise DataError(f"{path} is no plain ViT: it has {listed(parts)}")
    if unexpected:
        # The head reads what these computed; without them it means nothing.
        unexpected += [name for name in arrays if name.startswith(f"{HEAD}/")]
    big_vision = any((match := _BLOCK.fullmatch(name)) and f"{match[2]}_{match[3]}" == "LayerNorm_1" for name in inside)
    return Checkpoint(
        path=path,
        format="big_vision .npz" if big_vision else "Google ViT .npz",
        arrays={name: array for name, array in arrays.items() if name not in unexpected},
        unexpected=tuple(prefix + name for name in unexpected) + tuple(outside),
        gelu="tanh",
        heads=heads,
        sincos=big_vision and POSITIONS not in arrays,
    )


def google_arrays(path: Path, arrays: Arrays, heads: int) -> Arrays:
    """Give attention its published shapes, `[D, heads, D / heads]` and the like; the names are the ViT's own.

    Raises:
        DataError: attention has another width than its heads together, under the name `path`.
    """
    shaped = dict(arrays)
    for layer in range(depth_of(arrays)):
        for projection in (*PROJECTIONS, "out"):
            kernel, bias = f"{attention_name(layer, projection)}/kernel", f"{attention_name(layer, projection)}/bias"
            if arrays[kernel].ndim != 2 or arrays[kernel].shape[projection != "out"] % heads:
                raise DataError(f"{path}: {kernel} has shape {list(arrays[kernel].shape)}, for {heads} heads")
            if projection == "out":
                shaped[kernel] = arrays[kernel].reshape(heads, -1, arrays[kernel].shape[1])
            elif arrays[bias].size % heads == 0:
                shaped[kernel] = arrays[kernel].reshape(len(arrays[kernel]), heads, -1)
                shaped[bias] = arrays[bias].reshape(heads, -1)
    return shaped


def flat_arrays(arrays: Arrays) -> Arrays:
    """Undo `google_arrays`."""
    flat = dict(arrays)
    for layer in range(depth_of(arrays)):
        for projection in (*PROJECTIONS, "out"):
            kernel, bias = f"{attention_name(layer, projection)}/kernel", f"{attention_name(layer, projection)}/bias"
            array = arrays[kernel]
            rows = -1 if projection == "out" else len(array)
            flat[kernel] = array.reshape(rows, array.shape[2] if rows < 0 else -1)
            flat[bias] = arrays[bias].reshape(-1)
    return flat


def _in_our_names(path: Path, found: Arrays) -> Arrays:
    """Rename the layers of the blocks and the position embedding, and take blocks that are one array apart."""
    arrays: Arrays = {}
    counts: dict[tuple[str | None, str], list[int]] = {}
    for name in found:
        if match := _BLOCK.fullmatch(name):
            numbers = counts.setdefault((match[1], match[2]), [])
            if int(match[3]) not in numbers:
                numbers.append(int(match[3]))
    for name, array in found.items():
        match = _BLOCK.fullmatch(name)
        if match is None or match[2] not in LAYERS:
            arrays[POSITIONS if name in POSITION_PLACES else name] = array
            continue
        order = sorted(counts[match[1], match[2]]).index(int(match[3]))
        if order >= len(LAYERS[match[2]]):
            raise DataError(f"{path} is no plain ViT: a block has {name.rpartition('/')[0]}")
        part = f"{LAYERS[match[2]][order]}/{match[4]}"
        if match[1] is not None:
            arrays[block_name(int(match[1]), part)] = array
        elif array.ndim == 0:
            raise DataError(f"{path}: {name} has no axis for the blocks")
        else:
            arrays |= {block_name(layer, part): row for layer, row in enumerate(array)}
    return arrays


def _flatten_attention(path: Path, arrays: Arrays) -> int:
    """Lay attention flat, in place, and return the number of heads."""
    seen = set()
    for layer in range(depth_of(arrays)):
        for projection in (*PROJECTIONS, "out"):
            kernel, bias = f"{attention_name(layer, projection)}/kernel", f"{attention_name(layer, projection)}/bias"
            if kernel not in arrays or bias not in arrays:
                continue  # which is said where the names are compared
            array = arrays[kernel]
            if array.ndim != 3 or not array.size:
                raise DataError(f"{path}: {kernel} has shape {list(array.shape)}; expected three axes")
            out = projection == "out"
            seen.add(array.shape[0] if out else array.shape[1])
            arrays[kernel] = array.reshape(-1, array.shape[2]) if out else array.reshape(len(array), -1)
            arrays[bias] = arrays[bias].reshape(-1)
    if len(seen) != 1:
        raise DataError(f"{path} is no ViT: its blocks have {sorted(seen) or 'no'} attention heads")
    return int(np.asarray(seen.pop()))


def _has_a_place(name: str) -> bool:
    """Whether the ViT has an array of that name, if it is deep enough."""
    if match := _BLOCK.fullmatch(name):
        kind, number, part = match[2], match[3], match[4]
        return f"{kind}_{number}" in LAYERS.get(kind, ()) and part in {
            "LayerNorm": {"scale", "bias"},
            "MultiHeadDotProductAttention": {
                f"{projection}/{leaf}" for projection in (*PROJECTIONS, "out") for leaf in ("kernel", "bias")
            },
            "MlpBlock": {f"Dense_{number}/{leaf}" for number in (0, 1) for leaf in ("kernel", "bias")},
        }.get(kind, set())
    return name in {
        "embedding/kernel",
        "embedding/bias",
        "cls",
        POSITIONS,
        "Transformer/encoder_norm/scale",
        "Transformer/encoder_norm/bias",
        "head/kernel",
        "head/bias",
    }
