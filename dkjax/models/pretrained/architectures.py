"""Attention heads and GELU of ViTs whose files hold weights alone, by timm's name of the architecture or by shapes.

Neither can be read off the weights: 1280 values are 16 heads of 80 in timm's ViT-H and would be 20 of 64. The names are
timm's and so are the numbers. Where neither name nor shapes tell, a checkpoint is refused, since a network with another
number of heads computes something else without failing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained.checkpoint import CLASS_TOKEN, EMBEDDING


class Unsaid(NamedTuple):
    """What a file of weights does not say; `heads` is None where it is not known."""

    heads: int | None
    gelu: Literal["tanh", "exact"]


_ARCHITECTURES: tuple[tuple[str, int, int, Literal["tanh", "exact"]], ...] = (
    ("test_vit", 64, 2, "exact"),
    # The first generation of SigLIP computes the exact GELU in timm, what only SigLIP 2 has computes the other.
    (r"vit_base_patch32_siglip_.+", 768, 12, "tanh"),
    (r"vit_large_patch16_siglip_(gap_)?512", 1024, 16, "tanh"),
    (r"vit_so400m_patch16_siglip_.+", 1152, 16, "tanh"),
    (r"vit_giantopt_patch16_siglip_.+", 1536, 16, "tanh"),
    (r"vit_so400m_patch14_siglip_.+", 1152, 16, "exact"),
    (r"vit_base_patch16_gap_224", 768, 16, "exact"),
    (r"vit_base_patch\d+_plus_(clip_)?\d+", 896, 14, "exact"),
    (r"(vit|deit3)_huge_patch\d+_.+", 1280, 16, "exact"),
    (r"vit_giant_patch\d+_(gap_)?224", 1408, 16, "exact"),
    ("vit_giant_patch14_dinov2", 1536, 24, "exact"),  # refused for its MLP
    (r"vit_gigantic_patch\d+_.+", 1664, 16, "exact"),
    (r"(vit|deit|flexivit)_tiny(_.+)?", 192, 3, "exact"),
    (r"(vit|deit|deit3|flexivit)_small(_.+)?", 384, 6, "exact"),
    (r"(vit|deit3)_medium_.+", 512, 8, "exact"),
    (r"vit_betwixt_.+", 640, 10, "exact"),
    (r"(vit|deit|deit3|flexivit)_base(_.+)?", 768, 12, "exact"),
    (r"(vit|deit3|flexivit)_large(_.+)?", 1024, 16, "exact"),
)
"""Patterns of timm's names, the first that fits; width, heads, GELU."""

_ONE_FOR_64 = (192, 384, 512, 640, 896)
"""Widths at which all ViTs of timm have one head for 64 values, and the exact GELU."""

_WITH_CLASS_TOKEN = (768, 1024)
"""Widths at which those with a class token have."""


def unsaid(path: Path, arrays: Mapping[str, np.ndarray], *, asked: str | None, beside: object = None) -> Unsaid:
    """Tell heads and GELU of a checkpoint.

    Args:
        path: what to call it in errors.
        arrays: by the ViT's names.
        asked: timm's name of the architecture as the user gives it.
        beside: the name in the `config.json` beside the weights, if any; one that is not known counts as none.

    Returns:
        Both. At a width that none of timm's has there is one head for 64 values, and `heads` is None where 64 does not
        divide it: the user's model has to say it.

    Raises:
        ConfigError: `asked` is not known.
        DataError: the name is of another width, or nothing tells the heads where timm's ViTs differ.

    Guarantees:
        - Every ViT of timm gets timm's logits or is refused (test_every_vit_of_timm_is_right_or_refused).
    """
    kernel = arrays.get(f"{EMBEDDING}/kernel")
    width = kernel.shape[-1] if kernel is not None and kernel.ndim else 0
    name = asked if asked is not None else beside if isinstance(beside, str) else ""
    for pattern, of_name, heads, gelu in _ARCHITECTURES:
        if re.fullmatch(pattern, name.split(".")[0]):
            if of_name != width:
                raise DataError(f"{path} has width={width}, and {name[:60]!r} has {of_name}: it is another network")
            return Unsaid(heads, gelu)
    if asked is not None:
        raise ConfigError(
            f"architecture {asked[:60]!r} is not known; expected timm's name of a plain ViT, such as "
            "vit_huge_patch14_224, or write a config.json beside the weights with "
            '{"model_args": {"num_heads": 16, "act_layer": "gelu"}}'
        )
    if width in _ONE_FOR_64 or (width in _WITH_CLASS_TOKEN and CLASS_TOKEN in arrays):
        return Unsaid(width // 64, "exact")
    if width in (64, *_WITH_CLASS_TOKEN) or width > max(_WITH_CLASS_TOKEN):
        raise DataError(
            f"{path} does not say how many attention heads it has or which GELU, and ViTs of width {width} differ; set "
            'pretrained_architecture (in Python, architecture) to its name in timm, such as "vit_huge_patch14_224", or '
            "keep the config.json of its folder beside it"
        )
    # A width that is nobody's: one head for 64 values is what all have who say nothing, where 64 divides it.
    return Unsaid(None if width % 64 else width // 64, "exact")
