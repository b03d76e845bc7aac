"""Photographs that come with scikit-image and scikit-learn, cut to a square and resized."""

import os
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image

from dkjax.attacks.blocks import from_blocks, to_blocks

_SKIMAGE = Path(skimage.__file__).parent / "data"
_SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
FILES = (
    *(
        _SKIMAGE / name
        for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
    ),
    *(_SKIMAGE / name for name in ("retina.jpg", "hubble_deep_field.jpg")),
    *(_SKLEARN / name for name in ("china.jpg", "flower.jpg")),
)
"""All colour photographs in the two packages: everyday scenes, a microscope, an eye, stars."""


def further_files() -> list[Path]:
    """More photographs, from the folder that the environment names."""
    folder = os.environ.get("DKJAX_PHOTOGRAPHS")
    return sorted(Path(folder).glob("*.jpg")) if folder else []


def load(path: Path, size: int = 224) -> np.ndarray:
    picture = Image.open(path).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.crop(box).resize((size, size), Image.Resampling.LANCZOS))


def own_orders(encrypted: np.ndarray, block_size: int, seed: int = 0) -> np.ndarray:
    """Give the values of every block an order of their own."""
    blocks = to_blocks(encrypted, block_size)
    permuted = np.random.default_rng(seed).permuted(blocks, axis=2)
    return from_blocks(permuted, encrypted.shape[1:], block_size)
