"""The median filter: leaves out values that were moved, and is no help where all were."""

import numpy as np

from dkjax.attacks.median import Median
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import ssim


def test_moved_values_are_left_out() -> None:
    down, right = np.mgrid[:24, :24]
    plain = (4 * down + 3 * right).astype(np.uint8)[None, ..., None]
    moved = plain.copy()
    moved[:, 2::4, 2::4] = 255
    (found,) = Median().run(moved, Knowledge(4)).images
    assert np.abs(found[1:-1, 1:-1].astype(int) - plain[0, 1:-1, 1:-1]).max() <= 4
    noise = np.random.default_rng(0).permutation(plain.ravel()).reshape(plain.shape)
    scores = [float(ssim(plain, each)[0]) for each in (moved, found[None], Median().run(noise, Knowledge(4)).images)]
    assert scores[1] > 0.95 > 0.7 > scores[0] and scores[2] < 0.2
