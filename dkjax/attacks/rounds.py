"""Many rounds: one image under several keys, whose fixed positions differ.

A block that was left in place shows the same values at the same place in every round in which it was; a block that was
moved there does not. So the set of values that a place shows most often is most likely its own, and in those rounds the
value that a position shows most often is.
"""

import numpy as np

from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.cipher.array_blocks import from_blocks, to_blocks


class ManyRounds:
    """Votes over several encryptions of the same images.

    Guarantees:
        - what comes back grows with the rounds (`test_rounds.py::test_more_rounds_reveal_more`).
        - nothing does where no position stays (`test_rounds.py::test_nothing_stays_nothing_comes_back`).
    """

    name = "many-rounds"
    needs = frozenset({"again"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Vote over the images as sent and again."""
        assert knowledge.again is not None
        side = knowledge.block_size
        rounds = np.concatenate([encrypted[None], knowledge.again])
        pictures = [_vote(to_blocks(views, side)) for views in rounds.swapaxes(0, 1)]
        return Reconstruction(from_blocks(np.stack(pictures), encrypted.shape[1:], side))


def _vote(views: np.ndarray) -> np.ndarray:
    """Vote over views of one image, uint8[R, N, P]; uint8[N, P]."""
    values = np.sort(views, axis=2)
    alike = (values[:, None] == values[None]).all(axis=3).sum(axis=1)
    trusted = alike == alike.max(axis=0)
    found = np.empty(views.shape[1:], views.dtype)
    for place in range(views.shape[1]):
        # Of sets of values that are equally frequent, the first.
        first = values[trusted[:, place].argmax(), place]
        seen = views[(values[:, place] == first).all(axis=1), place]
        counts = (seen[:, None] == seen[None]).sum(axis=1)
        found[place] = np.take_along_axis(seen, counts.argmax(axis=0)[None], axis=0)[0]
    return found
