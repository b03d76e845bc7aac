"""Thumbnail: likeness of sorted blocks places those of smooth pictures."""

import jax
import numpy as np

from dkjax.attacks.judging import block_means
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import best_turned
from dkjax.attacks.thumbnail import Thumbnail
from dkjax.cipher import encrypt
from dkjax.cipher.schemes import sorted_blocks


def shuffled(image: np.ndarray, kept: int = 0) -> np.ndarray:
    """Blocks of 4 x 4 pixels, all but some in a random order, the values of each in an order of its own."""
    rng = np.random.default_rng(0)
    blocks = image.reshape(1, 8, 4, 8, 4, 1).swapaxes(2, 3).reshape(64, 16)
    moved = rng.permutation(64)[kept:]
    blocks[moved] = blocks[rng.permutation(moved)]
    blocks = rng.permuted(blocks, axis=1)
    return blocks.reshape(1, 8, 8, 4, 4, 1).swapaxes(2, 3).reshape(1, 32, 32, 1)


def similarity(image: np.ndarray, kept: int = 0) -> float:
    return best_turned(image[None], Thumbnail().run(shuffled(image, kept), Knowledge(4)).images)[0]


def test_a_smooth_picture_comes_back() -> None:
    down, right = np.mgrid[:32, :32] / 32
    smooth = (255 * (0.5 * down + 0.4 * right**2)).astype(np.uint8)[..., None]
    assert similarity(smooth) > 0.4


def test_channels_apart_have_colours() -> None:
    """Of a picture that is grey in the mean, sorted by channel: without knowing that, there is nothing to see."""
    down, right = np.mgrid[:32, :32] / 32
    red = (60 + 130 * down).astype(np.uint8)
    picture = np.stack([red, 250 - red, (60 + 130 * right).astype(np.uint8)], axis=2)
    scheme = sorted_blocks(4, order_by="channel")
    key = jax.random.split(jax.random.key(0), 1)
    sent = np.asarray(encrypt(scheme, key, picture[None]))
    true = block_means(picture[None], 4, colours=True)

    def reached(knowledge: Knowledge) -> float:
        found = Thumbnail().run(sent, knowledge).images
        return float(best_turned(true, block_means(found, 4, colours=True))[0])

    assert reached(Knowledge(4)) < 0.3
    assert reached(Knowledge(4, scheme=scheme)) > 0.6


def test_noise_does_not() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    assert similarity(noise) < 0.2


def test_blocks_left_in_place_help() -> None:
    down, right = np.mgrid[:32, :32] / 32
    hills = (127 + 60 * np.sin(9 * down) + 60 * np.cos(7 * right)).astype(np.uint8)[..., None]
    none, some, all_of_them = (similarity(hills, kept) for kept in (0, 32, 64))
    assert none + 0.1 < some < all_of_them
