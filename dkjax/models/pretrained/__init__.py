"""Pretrained weights in, trained weights out.

`load_pretrained` reads Google's `.npz`, timm's and Hugging Face's safetensors and ONNX into the ViT's own names, and
`export_params` writes them, or the whole computation as StableHLO. `describe` says which model a checkpoint is of.
"""

from dkjax.models.pretrained.checkpoint import Description
from dkjax.models.pretrained.export import FORMATS, Format, export_params, how_to_load
from dkjax.models.pretrained.load import IMAGENET_MEAN, IMAGENET_STD, describe, load_pretrained
from dkjax.models.pretrained.position import resize_position_embedding
from dkjax.models.pretrained.report import Report
from dkjax.models.pretrained.timm import timm_arguments

__all__ = [
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Description",
    "Format",
    "Report",
    "describe",
    "export_params",
    "how_to_load",
    "load_pretrained",
    "resize_position_embedding",
    "timm_arguments",
]
