"""ViTs of Hugging Face's transformers: weights, `config.json` and `preprocessor_config.json` in one folder.

Names are those of files: `vit.encoder.layer.0...` with or without the `vit.`, and DINOv2's, whose blocks are named
otherwise and have LayerScale; or those that transformers 5 has in memory, `vit.layers.0...`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained.architectures import unsaid
from dkjax.models.pretrained.checkpoint import EMBEDDING, Arrays, Checkpoint
from dkjax.models.pretrained.folding import spread_grey
from dkjax.models.pretrained.sidecar import normalisation, positive_integer, two_integers
from dkjax.models.pretrained.torch_layout import Names, from_torch, to_torch
from dkjax.models.vit import LAYER_NORM_EPSILON, Model

VIT = Names(
    embedding="embeddings.patch_embeddings.projection",
    class_token="embeddings.cls_token",
    positions="embeddings.position_embeddings",
    block="encoder.layer.{}.",
    norms=("layernorm_before", "layernorm_after"),
    attention=("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    out="attention.output.dense",
    mlp=("intermediate.dense", "output.dense"),
    scales=None,
    encoder_norm="layernorm",
    head="classifier",
    unused=("pooler.", "embeddings.mask_token"),
)
DINOV2 = Names(
    embedding=VIT.embedding,
    class_token=VIT.class_token,
    positions=VIT.positions,
    block=VIT.block,
    norms=("norm1", "norm2"),
    attention=VIT.attention,
    out=VIT.out,
    mlp=("mlp.fc1", "mlp.fc2"),
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
    encoder_norm=VIT.encoder_norm,
    head=None,  # it reads the class token and the mean of the patches side by side
    unused=("classifier.", "embeddings.mask_token"),
)

_IN_MEMORY = {
    "q_proj": "attention.query",
    "k_proj": "attention.key",
    "v_proj": "attention.value",
    "o_proj": "output.dense",
}

_GELUS: Mapping[str, Literal["tanh", "exact"]] = {
    "gelu": "exact",
    "gelu_python": "exact",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
}


def read_hugging_face(
    path: Path,
    state: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
    architecture: str | None = None,
) -> Checkpoint:
    """Read a ViT of transformers.

    Args:
        path: what to call it in errors.
        state: its arrays.
        config: `config.json`, if any.
        preprocessor: `preprocessor_config.json`, if any.
        architecture: timm's name of the same network, for weights without their `config.json`.

    Returns:
        The checkpoint.

    Raises:
        ConfigError: `architecture` is not known.
        DataError: it is no plain ViT, what stands beside it makes no sense, or nothing tells its attention heads.

    Guarantees:
        - The logits are those of transformers (test_logits_are_those_of_transformers), whichever names the weights
          have (test_names_in_memory_are_those_of_files).
    """
    state = {_name_in_files(name): array for name, array in state.items()}
    names = DINOV2 if any(name.endswith(f"{DINOV2.block.format(0)}norm1.weight") for name in state) else VIT
    arrays, unexpected = from_torch(path, names, state)
    heads = positive_integer(path, config, "num_attention_heads")
    if heads is None:
        heads = unsaid(path, arrays, asked=architecture).heads
    activation = config.get("hidden_act", "gelu")
    if activation not in _GELUS:
        raise DataError(f"{path} is no plain ViT: its MLP has hidden_act={str(activation)[:40]!r}, not a GELU")
    epsilon = config.get("layer_norm_eps", LAYER_NORM_EPSILON)
    if type(epsilon) not in (int, float) or not 0 <= epsilon < 1:
        raise DataError(f"{path}: layer_norm_eps={str(epsilon)[:40]} is no small number")
    image, patch = two_integers(path, config, "image_size"), positive_integer(path, config, "patch_size")
    mean, std = normalisation(path, preprocessor, "image_mean", "image_std")
    if preprocessor.get("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    return Checkpoint(
        path=path,
        format="Hugging Face safetensors" if names is VIT else "Hugging Face safetensors of DINOv2",
        arrays=arrays,
        unexpected=unexpected,
        gelu=_GELUS[activation],
        heads=heads,
        layer_norm_epsilon=float(epsilon),
        grid=(image[0] // patch, image[1] // patch) if image and patch else None,
        mean=mean,
        std=std,
    )


def _name_in_files(name: str) -> str:
    """Turn a name that transformers 5 has in memory into the one that its `save_pretrained` writes."""
    match = re.fullmatch(r"(.*\.)?(?:encoder\.layer|layers)\.(\d+)\.(.+)", name)
    if match is None:
        return name
    part = match[3]
    if "layers." in name:  # DINOv2's blocks keep the names of their MLP
        part = re.sub(r"^mlp\.fc1\.", "intermediate.dense.", re.sub(r"^mlp\.fc2\.", "output.dense.", part))
    for short, long in _IN_MEMORY.items():
        part = re.sub(rf"^attention\.{short}\.", f"attention.{long}.", part)
    return f"{match[1] or ''}encoder.layer.{match[2]}.{part}"


def hugging_face_state(arrays: Arrays, depth: int) -> Arrays:
    """Name arrays as `ViTForImageClassification` does; a model for grey images becomes one that reads them as RGB."""
    kernel = arrays[f"{EMBEDDING}/kernel"]
    if kernel.shape[2] == 1:
        arrays = arrays | {f"{EMBEDDING}/kernel": spread_grey(kernel)}
    state = to_torch(VIT, arrays, depth)
    return {name if name.startswith(f"{VIT.head}.") else f"vit.{name}": array for name, array in state.items()}


def hugging_face_configs(
    model: Model, image_shape: tuple[int, int, int], class_names: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Write what transformers has to know beside the weights.

    Args:
        model: the model.
        image_shape: (H, W, C) of one image.
        class_names: of the logits, in order; LABEL_0 and so on if None.

    Returns:
        `config.json` and `preprocessor_config.json`, by their names, as plain JSON values. Images are resized and
        normalised as dkjax does: pixel values to -1 .. 1, all channels alike. Files of any mode are converted to RGB,
        as `transformers.pipeline` does without being asked; so a model for grey images is written as one of three
        channels.

    Raises:
        ConfigError: transformers has no such model, or there are not as many names as classes.
    """
    if model.pool != "token":
        raise ConfigError(
            f"pool={model.pool!r} has no counterpart in ViTForImageClassification, which reads a class token; export "
            'to "npz", "safetensors" or "stablehlo"'
        )
    labels = [f"LABEL_{i}" for i in range(model.num_classes)] if class_names is None else list(class_names)
    if len(labels) != model.num_classes:
        raise ConfigError(f"{len(labels)} class names for num_classes={model.num_classes}")
    height, width, channels = image_shape
    channels = 3 if channels == 1 else channels
    return {
        "config.json": {
            "architectures": ["ViTForImageClassification"],
            "model_type": "vit",
            "dtype": "float32",
            "hidden_size": model.width,
            "num_hidden_layers": model.depth,
            "num_attention_heads": model.heads,
            "intermediate_size": model.mlp_dim,
            "hidden_act": "gelu_pytorch_tanh" if model.gelu == "tanh" else "gelu",
            "hidden_dropout_prob": model.dropout,
            "attention_probs_dropout_prob": 0.0,
            "layer_norm_eps": model.layer_norm_epsilon,
            "image_size": height if height == width else [height, width],
            "patch_size": model.patch_size,
            "num_channels": channels,
            "qkv_bias": True,
            "id2label": {str(i): label for i, label in enumerate(labels)},
            "label2id": {label: i for i, label in enumerate(labels)},
        },
        "preprocessor_config.json": {
            "image_processor_type": "ViTImageProcessor",
            "do_convert_rgb": channels == 3,
            "do_resize": True,
            "size": {"height": height, "width": width},
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.5] * channels,
            "image_std": [0.5] * channels,
        },
    }
