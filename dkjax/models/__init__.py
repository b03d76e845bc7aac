"""The Vision Transformer that the server trains, and its adaptation to images under one known key."""

from dkjax.models.adaptation import adapt_embedding
from dkjax.models.vit import VARIANTS, Model, Params, vit

__all__ = ["VARIANTS", "Model", "Params", "adapt_embedding", "vit"]
