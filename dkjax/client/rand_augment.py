"""RandAugment: a few operations drawn at random for each image, all of one strength.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", arXiv 1909.13719. The
operations are Pillow's, and their strengths those of torchvision's `RandAugment` with its 31 magnitudes. As there, what
comes in at the edge is black, and a moved picture is not interpolated.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from dkjax.errors import ArgumentError
from dkjax.runtime.threads import on_all_cores

LARGEST_MAGNITUDE = 30

Operation = Callable[[Image.Image, int, int], Image.Image]
"""Takes an image, a magnitude from 0 to 30, and a sign, +1 or -1, which not every operation heeds."""


def _shear_x(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return _moved(image, (1, sign * 0.3 * _share(magnitude), 0, 0, 1, 0))


def _shear_y(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return _moved(image, (1, 0, 0, sign * 0.3 * _share(magnitude), 1, 0))


def _translate_x(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return _moved(image, (1, 0, -sign * _pixels(image.width, magnitude), 0, 1, 0))


def _translate_y(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return _moved(image, (1, 0, 0, 0, 1, -sign * _pixels(image.height, magnitude)))


def _rotate(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return image.rotate(sign * 30.0 * _share(magnitude))


def _posterise(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return ImageOps.posterize(image, 8 - round(4 * _share(magnitude)))


def _solarise(image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    # White alone turns black at magnitude 0, everything is inverted at 30.
    return ImageOps.solarize(image, math.ceil(255 * (LARGEST_MAGNITUDE - magnitude) / LARGEST_MAGNITUDE))


def _enhanced(enhancer: Callable[[Image.Image], Any], image: Image.Image, magnitude: int, sign: int) -> Image.Image:
    return enhancer(image).enhance(1 + sign * 0.9 * _share(magnitude))


OPERATIONS: Mapping[str, Operation] = {
    "identity": lambda image, magnitude, sign: image,
    "auto_contrast": lambda image, magnitude, sign: ImageOps.autocontrast(image),
    "equalise": lambda image, magnitude, sign: ImageOps.equalize(image),
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "posterise": _posterise,
    "solarise": _solarise,
    "colour": partial(_enhanced, ImageEnhance.Color),
    "contrast": partial(_enhanced, ImageEnhance.Contrast),
    "brightness": partial(_enhanced, ImageEnhance.Brightness),
    "sharpness": partial(_enhanced, ImageEnhance.Sharpness),
}
"""The paper's operations by name; the order is part of what a seed gives."""


def rand_augment(
    images: NDArray[np.uint8], random: np.random.Generator, num_ops: int, magnitude: int
) -> NDArray[np.uint8]:
    """Apply operations drawn at random to each image, on all cores.

    Each of an image's operations is drawn from all fourteen, the same one twice included; those with a direction go
    either way with equal chance.

    Args:
        images: uint8[n, H, W, C], of 1 (grey) or 3 (RGB) channels.
        random: decides what happens to which image.
        num_ops: how many operations one after the other, at least 1; the paper's N.
        magnitude: how strong each is, from 0 to 30; the paper's M.

    Returns:
        uint8[n, H, W, C], new images.

    Raises:
        ArgumentError: another dtype, rank or number of channels, or a number out of range.

    Guarantees:
        - The same generator gives the same bytes, whatever the number of threads
          (`tests/client/test_rand_augment.py::test_the_same_generator_gives_the_same_bytes`).
        - Each operation is torchvision's at the same magnitude: the same bytes, or for colour, contrast, brightness and
          sharpness at most one level away
          (`tests/client/test_rand_augment.py::test_operations_are_those_of_torchvision`).

    Example:
        >>> images = np.zeros((5, 32, 32, 3), np.uint8)
        >>> rand_augment(images, np.random.default_rng(0), num_ops=2, magnitude=9).shape
        (5, 32, 32, 3)
    """
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ArgumentError(f"RandAugment takes uint8[n, H, W, C], got {images.dtype}{list(images.shape)}")
    check_channels(images.shape[3])
    if num_ops < 1:
        raise ArgumentError(f"num_ops must be at least 1, got {num_ops}")
    if not 0 <= magnitude <= LARGEST_MAGNITUDE:
        raise ArgumentError(f"magnitude must be from 0 to {LARGEST_MAGNITUDE}, got {magnitude}")
    operations = tuple(OPERATIONS.values())
    # All that is random is drawn here, so that no thread has a say in it.
    chosen = random.integers(0, len(operations), (len(images), num_ops))
    signs = random.choice((-1, 1), (len(images), num_ops))
    changed = np.empty_like(images)

    def change(position: int) -> None:
        image = Image.fromarray(images[position] if images.shape[3] == 3 else images[position, ..., 0])
        for operation, sign in zip(chosen[position], signs[position], strict=True):
            image = operations[operation](image, magnitude, int(sign))
        changed[position] = np.asarray(image).reshape(images.shape[1:])

    on_all_cores(change, range(len(images)))
    return changed


def check_channels(channels: int) -> None:
    """Raise `ArgumentError` for a number of channels that Pillow's operations do not take."""
    if channels not in (1, 3):
        raise ArgumentError(
            f"RandAugment takes images of 1 (grey) or 3 (RGB) channels, got {channels}; leave augment.rand_augment out"
        )


def _share(magnitude: int) -> float:
    """How far along the way from no change to the strongest a magnitude is."""
    return magnitude / LARGEST_MAGNITUDE


def _pixels(side: int, magnitude: int) -> int:
    """How far a picture of that side is shifted: 150 of 331 pixels at most, whole ones."""
    return 150 * side * magnitude // (331 * LARGEST_MAGNITUDE)


def _moved(image: Image.Image, inverse: tuple[float, float, float, float, float, float]) -> Image.Image:
    """Move a picture by an affine map, given by its inverse: from places in the result to places in the image."""
    return image.transform(image.size, Image.Transform.AFFINE, inverse)
