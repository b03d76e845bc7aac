"""ViTs of timm (PyTorch Image Models): names of their weights, and the arguments that build the same model there.

timm's files hold weights alone. What else dkjax knows of a model is written as arguments of timm's
`VisionTransformer` into the metadata of the file, and read from there or from the `config.json` beside it.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained.architectures import unsaid
from dkjax.models.pretrained.checkpoint import CLASS_TOKEN, HEAD, Checkpoint
from dkjax.models.pretrained.sidecar import normalisation, positive_integer, two_integers
from dkjax.models.pretrained.torch_layout import Names, from_torch
from dkjax.models.vit import LAYER_NORM_EPSILON, Model

TIMM = Names(
    embedding="patch_embed.proj",
    class_token="cls_token",
    positions="pos_embed",
    block="blocks.{}.",
    norms=("norm1", "norm2"),
    attention=("attn.qkv",),
    out="attn.proj",
    mlp=("mlp.fc1", "mlp.fc2"),
    scales=("ls1.gamma", "ls2.gamma"),
    encoder_norm="norm",
    head="head",
    # A head of several layers; one that is trained starts from zero anyway.
    unused=("pre_logits.", "head.fc.", *(f"head.{place}." for place in range(10))),
)

ARGUMENTS = "timm.models.VisionTransformer"
"""The key of the metadata under which the arguments stand, as JSON."""


def read_timm(
    path: Path,
    state: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
    config: Mapping[str, Any],
    architecture: str | None = None,
) -> Checkpoint:
    """Read a timm ViT.

    Args:
        path: what to call it in errors.
        state: its arrays.
        metadata: of the safetensors file.
        config: the `config.json` beside it, if any.
        architecture: timm's name of it, as the user gives it.

    Returns:
        The checkpoint.

    Raises:
        ConfigError: `architecture` is not known.
        DataError: it is no plain ViT, what stands beside it makes no sense, or nothing tells its attention heads.

    Guarantees:
        - The logits are timm's (test_logits_are_those_of_timm), or it is refused
          (test_every_vit_of_timm_is_right_or_refused).
    """
    arrays, unexpected = from_torch(path, TIMM, _with_plain_head(state))
    if any("pre_logits." in name for name in unexpected):
        # The head reads what these computed; without them it means nothing.
        unexpected += tuple(f"{HEAD}.{leaf}" for leaf in ("weight", "bias"))
        arrays = {name: array for name, array in arrays.items() if not name.startswith(f"{HEAD}/")}
    arguments = _arguments(path, metadata, config)
    if arguments.get("global_pool") not in (None, "token", "avg") or (
        CLASS_TOKEN in arrays and arguments.get("global_pool") == "avg"
    ):
        raise DataError(f"{path} is no plain ViT: its head reads global_pool={arguments['global_pool']!r:.40}")
    heads, gelu = positive_integer(path, arguments, "num_heads"), arguments.get("act_layer")
    if heads is None or ("embed_dim" not in arguments and gelu is None):
        known = unsaid(path, arrays, asked=architecture, beside=config.get("architecture"))
        heads, gelu = heads or known.heads, gelu or known.gelu
    if str(gelu).startswith("quick"):
        raise DataError(f"{path} is no plain ViT: its MLP has act_layer={str(gelu)[:40]!r}")
    pretrained = config.get("pretrained_cfg")
    mean, std = normalisation(path, pretrained if isinstance(pretrained, dict) else {}, "mean", "std")
    image = two_integers(path, arguments, "img_size")
    patch = positive_integer(path, arguments, "patch_size")
    return Checkpoint(
        path=path,
        format="timm safetensors",
        arrays=arrays,
        unexpected=unexpected,
        gelu="tanh" if "tanh" in str(gelu) else "exact",
        heads=heads,
        grid=(image[0] // patch, image[1] // patch) if image and patch else None,
        mean=mean,
        std=std,
    )


def _with_plain_head(state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Call a head of one layer as timm does, whatever stood beside it when it was fine-tuned, such as a dropout."""
    heads = [name for name in state if re.search(r"(^|\.)head\.", name)]
    layers = [match for name in heads if (match := re.fullmatch(r"(.*\bhead)\.(fc|\d)\.weight", name))]
    if len(layers) != 1 or len(heads) != 1 + (layers[0][0].removesuffix("weight") + "bias" in heads):
        return state
    old, new = layers[0][0].removesuffix("weight"), f"{layers[0][1]}."
    return {name.replace(old, new) if name in heads else name: array for name, array in state.items()}


def timm_arguments(model: Model, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Say how timm builds the same network: `timm.models.VisionTransformer(**arguments)`.

    Args:
        model: the model.
        image_shape: (H, W, C) of one image.

    Returns:
        Plain JSON values.

    Raises:
        ConfigError: timm has no such model.

    Guarantees:
        - timm's network with the exported weights gives the same logits (test_timm_computes_the_same_from_an_export).
    """
    if model.layer_norm_epsilon != LAYER_NORM_EPSILON:
        raise ConfigError(
            f"layer_norm_epsilon={model.layer_norm_epsilon:g} has no counterpart in timm's ViTs, which have "
            f'{LAYER_NORM_EPSILON:g}; export to "hf", "npz" or "stablehlo"'
        )
    height, width, channels = image_shape
    ratio = model.mlp_dim / model.width
    if int(model.width * ratio) != model.mlp_dim:  # as timm computes it
        ratio = math.nextafter(ratio, math.inf)
    return {
        "img_size": [height, width],
        "patch_size": model.patch_size,
        "in_chans": channels,
        "num_classes": model.num_classes,
        "embed_dim": model.width,
        "depth": model.depth,
        "num_heads": model.heads,
        "mlp_ratio": ratio,
        "class_token": model.pool == "token",
        "global_pool": "token" if model.pool == "token" else "avg",
        "fc_norm": False,  # the last layer norm comes before the mean, not after it
        "act_layer": "gelu_tanh" if model.gelu == "tanh" else "gelu",
    }


def _arguments(path: Path, metadata: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of timm's constructor, from wherever they are said."""
    if ARGUMENTS not in metadata:
        arguments = config.get("model_args")
        return arguments if isinstance(arguments, dict) else {}
    try:
        arguments = json.loads(metadata[ARGUMENTS])
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise DataError(f"{path}: {ARGUMENTS} in its metadata is no JSON object")
    return arguments
