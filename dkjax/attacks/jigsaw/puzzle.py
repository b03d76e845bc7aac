"""The puzzle attack: an image put together again from its encryption alone."""

import dataclasses

import numpy as np

from dkjax.attacks.jigsaw.anchors import name_channels, symmetry_of_layout, turn_solution, turn_to_fixed
from dkjax.attacks.jigsaw.assemble import assemble, settle
from dkjax.attacks.jigsaw.borders import borders_of
from dkjax.attacks.jigsaw.channels import channel_of_positions, pixels_of_positions
from dkjax.attacks.jigsaw.grid import place_pixels
from dkjax.errors import ArgumentError

_SEED = 0


@dataclasses.dataclass(frozen=True)
class Solution:
    """What the puzzle attack made of one image.

    Attributes:
        image: uint8[H, W, C], the picture as far as it came back, turned, mirrored and named by guess where nothing tells.
        positions: int[M, M, C], which position of an encrypted block holds each value.
        layout: int[rows, columns], which encrypted block stands where.
        anchored: whether positions left in place told which way is up.
    """

    image: np.ndarray
    positions: np.ndarray
    layout: np.ndarray
    anchored: bool


def order_of_values(blocks: np.ndarray, side: int, channels: int) -> np.ndarray:
    """Find the order of the values that all blocks have in common.

    Args:
        blocks: float64[N, P], the encrypted blocks.
        side: the side `M` of a block.
        channels: the number `C` of channels, `P = M * M * C`.

    Returns:
        int[M, M, C], the position of each value, up to symmetry and the names of channels.
    """
    labels = channel_of_positions(blocks, channels, np.random.default_rng(_SEED))
    pixels = pixels_of_positions(blocks, labels, channels)
    rows = np.concatenate([blocks[:, pixels[:, channel]] for channel in range(channels)])
    places = place_pixels(rows, side)
    return pixels[np.argsort(places)].reshape(side, side, channels)


def solve(image: np.ndarray, block_size: int) -> Solution:
    """Put one encrypted image together again, without a key.

    Args:
        image: uint8[H, W, C], encrypted by block scrambling and by one permutation of the values of all blocks.
        block_size: the side `M` of a block.

    Returns:
        The solution.
    """
    height, width, channels = image.shape
    rows, columns = height // block_size, width // block_size
    sent = image.reshape(rows, block_size, columns, block_size * channels).transpose(0, 2, 1, 3)
    blocks = sent.reshape(rows * columns, -1).astype(float)
    positions, symmetry = turn_to_fixed(order_of_values(blocks, block_size, channels))
    # In a picture that is no square a block on its side tells by its borders.
    sides = [positions] if symmetry is not None or rows == columns else [positions, positions.swapaxes(0, 1)]
    solutions = []
    for way in sides:
        borders = borders_of(blocks[:, way.ravel()].reshape(-1, *way.shape))
        layout = assemble(borders, rows, columns)
        solutions.append((borders.cost(layout), way, layout))
    _, positions, layout = min(solutions, key=lambda solution: solution[0])
    turn = symmetry_of_layout(layout)
    if symmetry is None and turn is not None:
        positions, layout = turn_solution(positions, layout, turn)
    anchored = symmetry is not None or turn is not None
    if anchored:
        layout = settle(layout, borders_of(blocks[:, positions.ravel()].reshape(-1, *positions.shape)))
    picture = blocks[layout.ravel()][:, positions.ravel()].reshape(rows, columns, *positions.shape)
    picture = picture.swapaxes(1, 2).reshape(image.shape).astype(image.dtype)
    return Solution(picture if symmetry is not None else name_channels(picture), positions, layout, anchored)
