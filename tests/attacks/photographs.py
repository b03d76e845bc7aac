"""The photographs that attacks are tested on, and an own order of values for every block of them."""

import os
from pathlib import Path

import numpy as np
from attacked_photographs import EVERYDAY, HARDER, load

from dkjax.cipher.array_blocks import from_blocks, to_blocks

__all__ = ["FILES", "further_files", "load", "own_orders"]

FILES = (*EVERYDAY[:6], *HARDER, *EVERYDAY[6:])
"""All colour photographs in scikit-image and scikit-learn: everyday scenes, a microscope, an eye, stars."""


def further_files() -> list[Path]:
    """More photographs, from the folder that the environment names."""
    folder = os.environ.get("DKJAX_PHOTOGRAPHS")
    return sorted(Path(folder).glob("*.jpg")) if folder else []


def own_orders(encrypted: np.ndarray, block_size: int, seed: int = 0) -> np.ndarray:
    """Give the values of every block an order of their own."""
    blocks = to_blocks(encrypted, block_size)
    permuted = np.random.default_rng(seed).permuted(blocks, axis=2)
    return from_blocks(permuted, encrypted.shape[1:], block_size)
