"""Thumbnail: what is left to place blocks by where every block has an order of values of its own, or none at all.

Blocks that are near each other in a picture have like values. Sorted, so that no order matters, they are placed by
likeness alone, as the pixels of a block are in the puzzle attack. Where the order as sent is more like a picture than a
random one is, blocks were left in place, and only those that fit badly are exchanged. Every block then shows its mean:
small blocks are a thumbnail. Where the scheme leaves channels apart, they are compared and shown apart: it has colours.
"""

import math

import numpy as np

from dkjax.attacks.jigsaw.grid import place_pixels, places_kept
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.cipher.array_blocks import from_blocks, to_blocks


class Thumbnail:
    """Places blocks by the likeness of their sorted values, in pictures of as many rows of blocks as columns.

    Guarantees:
        - a smooth picture comes back although every block has its own order
          (`test_thumbnail.py::test_a_smooth_picture_comes_back`), noise does not
          (`test_thumbnail.py::test_noise_does_not`).
        - blocks left in place help it (`test_thumbnail.py::test_blocks_left_in_place_help`).
        - it has the colours where channels were sorted apart (`test_thumbnail.py::test_channels_apart_have_colours`).
    """

    name = "thumbnail"
    needs: frozenset[str] = frozenset()

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Place the blocks of each image, and fill each with its mean, or with those of its channels."""
        side, scheme = knowledge.block_size, knowledge.scheme
        blocks = to_blocks(encrypted, side).astype(float)
        grid = math.isqrt(blocks.shape[1])
        apart = encrypted.shape[3] if scheme is not None and scheme.mixes != "channels" else 1
        layouts, pictures = [], []
        for values in np.sort(blocks.reshape(*blocks.shape[:2], -1, apart), axis=2):
            rows = values.reshape(len(values), -1).T
            kept = places_kept(rows, grid)
            layout = np.argsort(place_pixels(rows, grid) if kept is None else kept)
            layouts.append(layout.reshape(grid, grid))
            means = np.broadcast_to(values.mean(axis=1, keepdims=True)[layout], values.shape)
            pictures.append(means.reshape(blocks.shape[1:]))
        images = from_blocks(np.rint(np.stack(pictures)), encrypted.shape[1:], side).astype(encrypted.dtype)
        return Reconstruction(images, np.stack(layouts), symmetric=True)
