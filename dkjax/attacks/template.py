"""Template: a fixed camera's scene is known, and what has changed in it is looked for.

The values of a block, sorted, tell which part of the scene it shows: an assignment of encrypted blocks to places puts
them back. With the blocks in place, the order of values follows by matching every position's values over the blocks
with those of the scene. The block that then differs most from the scene is what has changed.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.cipher.array_blocks import from_blocks, to_blocks


class Template:
    """Puts the blocks of images of a known scene back.

    Guarantees:
        - blocks come back, and the changed one is named (`test_template.py::test_names_the_changed_block`).
        - nothing comes back of another scene (`test_template.py::test_another_scene_gives_nothing`).
    """

    name = "template"
    needs = frozenset({"scene"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Put the blocks of each image back into the scene, and the values into the blocks."""
        assert knowledge.scene is not None
        side = knowledge.block_size
        _, height, width, channels = encrypted.shape
        rows, columns = height // side, width // side
        scene = to_blocks(knowledge.scene[None], side)[0].astype(float)
        layouts, positions, odd, pictures = [], [], [], []
        # Ties are resolved by order, so an order that says nothing is needed first.
        shuffle = np.random.default_rng(0).permutation(rows * columns)
        for blocks in to_blocks(encrypted, side).astype(float):
            cost = cdist(np.sort(scene, axis=1), np.sort(blocks[shuffle], axis=1), "cityblock")
            # Concave: one block that fits badly is likelier than a chain of blocks that each fit a little worse.
            cost = np.sqrt(cost)
            layout = shuffle[linear_sum_assignment(cost)[1]]
            placed = blocks[layout]
            order = match_columns(scene, placed)
            layouts.append(layout.reshape(rows, columns))
            positions.append(order.reshape(side, side, channels))
            pictures.append(placed[:, order])
            odd.append(np.abs(pictures[-1] - scene).sum(axis=1).argmax())
        images = from_blocks(np.stack(pictures), encrypted.shape[1:], side).astype(encrypted.dtype)
        return Reconstruction(images, np.stack(layouts), np.stack(positions), np.array(odd))


def match_columns(known: np.ndarray, sent: np.ndarray) -> np.ndarray:
    """Find the column of `sent` that is each column of `known`, float[N, P] both; int[P]."""
    shuffle = np.random.default_rng(0).permutation(sent.shape[1])
    cost = cdist(known.T, sent[:, shuffle].T, "cityblock")
    return shuffle[linear_sum_assignment(cost)[1]]
