"""The Vision Transformer that the server trains, its weights in and out, and its adaptation to images under one key.

The function `vit` has the name of its module; the module's other names are imported from `dkjax.models.vit`.
"""

from dkjax.models.vit import VARIANTS, Model, Params, vit

__all__ = ["VARIANTS", "Model", "Params", "vit"]
