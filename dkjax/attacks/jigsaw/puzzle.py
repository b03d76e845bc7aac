"""The puzzle attack: an image put together again from its encryption alone."""

import dataclasses

import numpy as np

from dkjax.attacks.jigsaw.anchors import name_channels, symmetry_of_layout, turn_solution, turn_to_fixed
from dkjax.attacks.jigsaw.assemble import assemble, settle
from dkjax.attacks.jigsaw.borders import borders_of
from dkjax.attacks.jigsaw.channels import channel_of_positions, pixels_of_positions
from dkjax.attacks.jigsaw.grid import place_pixels
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.cipher.array_blocks import from_blocks, to_blocks
from dkjax.errors import ArgumentError

FEWEST_BLOCKS = 9
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Solution:
    """What the puzzle attack made of one image.

    Attributes:
        image: uint8[H, W, C], the picture as far as it came back. Where nothing tells, it may be turned or mirrored,
            and the names of its channels are guessed.
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

    Raises:
        ArgumentError: blocks of one pixel, or fewer than nine of them, are no puzzle.
    """
    height, width, channels = image.shape
    rows, columns = height // block_size, width // block_size
    if block_size < 2 or rows * columns < FEWEST_BLOCKS:
        raise ArgumentError(
            f"{rows * columns} blocks of {block_size} x {block_size} pixels are no puzzle: at least {FEWEST_BLOCKS} "
            "blocks of at least 2 x 2 pixels are needed"
        )
    blocks = to_blocks(image[None], block_size)[0].astype(float)
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
    picture = from_blocks(blocks[layout.ravel()][None, :, positions.ravel()], image.shape, block_size)
    picture = picture[0].astype(image.dtype)
    return Solution(picture if symmetry is not None else name_channels(picture), positions, layout, anchored)


class Puzzle:
    """Puts every image together again, from itself alone.

    Guarantees:
        - a photograph comes back with everything permuted (`test_puzzle.py::test_a_photograph_comes_back`).
        - not where every block has an order of its own (`test_puzzle.py::test_an_own_order_in_every_block_withstands`).
    """

    name = "puzzle"
    needs: frozenset[str] = frozenset()

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Solve each image.

        Raises:
            ArgumentError: blocks of one pixel, or fewer than nine of them, are no puzzle.
        """
        solutions = [solve(image, knowledge.block_size) for image in encrypted]
        return Reconstruction(
            np.stack([solution.image for solution in solutions]),
            np.stack([solution.layout for solution in solutions]),
            np.stack([solution.positions for solution in solutions]),
            symmetric=True,
        )
