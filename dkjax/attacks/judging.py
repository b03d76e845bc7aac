"""What an attack got back, judged by the truth, beside what those reach who know nothing."""

from typing import NamedTuple

import numpy as np

from dkjax.attacks.protocol import Reconstruction
from dkjax.attacks.ssim import WINDOW, best_turned, ssim
from dkjax.attacks.statistics import Score, estimate, mean_image, permuted_values
from dkjax.attacks.symmetry import symmetries
from dkjax.cipher.array_blocks import to_blocks
from dkjax.errors import DkjaxError


class NotApplicableError(DkjaxError):
    """An attack needs what is not there."""


class Step(NamedTuple):
    """What an attack has reached on the images so far.

    Attributes:
        scores: how far it has come.
        pictures: uint8[k, H, W, C], what it got back of the first images; None if it makes no pictures.
        symmetric: whether the pictures may be turned or mirrored.
        learned: steps of training done and in all, of an attack that learns before it attacks; (0, 0) of others.
    """

    scores: list[Score]
    pictures: np.ndarray | None = None
    symmetric: bool = False
    learned: tuple[int, int] = (0, 0)


class Tally:
    """Values of the images so far, by measure: of the attack, and of those who know nothing."""

    def __init__(self) -> None:
        """Begin with no image."""
        self._reached: dict[str, list[float]] = {}
        self._blind: dict[str, list[tuple[float, ...]]] = {}

    def add(self, metric: str, reached: float, *blind: float) -> None:
        """Add an image: what the attack reached, and each way of knowing nothing."""
        self._reached.setdefault(metric, []).append(float(reached))
        self._blind.setdefault(metric, []).append(blind)

    def scores(self) -> list[Score]:
        """Estimate each measure; chance is the best way of knowing nothing, the ceiling 1."""
        return [
            Score(metric, estimate(np.array(values)), float(np.mean(self._blind[metric], axis=0).max()), 1.0)
            for metric, values in self._reached.items()
        ]


class SsimJudge:
    """SSIM of what came back, beside the mean image and the image's values in a random order.

    Args:
        plain: uint8[n, H, W, C], the truth.
        symmetric: whether the best of the symmetries is judged.

    Raises:
        NotApplicableError: the images are smaller than the window of SSIM.
    """

    def __init__(self, plain: np.ndarray, symmetric: bool = False) -> None:
        """Prepare what somebody would show who knows nothing."""
        if min(plain.shape[1:3]) < WINDOW:
            raise NotApplicableError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels")
        self._plain, self._measure = plain, best_turned if symmetric else ssim
        self._blind = (mean_image(plain), permuted_values(plain))

    def __call__(self, number: int, picture: np.ndarray) -> tuple[float, ...]:
        """Judge the picture of one image: its SSIM, and those of the blind ones."""
        true = self._plain[number][None]
        return tuple(
            float(self._measure(true, shown[None])[0])
            for shown in (picture, *(images[number] for images in self._blind))
        )


def ssim_score(plain: np.ndarray, found: Reconstruction, metric: str = "ssim") -> Score:
    """Judge all pictures of an attack by SSIM."""
    judge, tally = SsimJudge(plain, found.symmetric), Tally()
    for number, picture in enumerate(found.images):
        tally.add(metric, *judge(number, picture))
    return tally.scores()[0]


def values_score(plain: np.ndarray, found: np.ndarray) -> Score:
    """The share of values that are right."""
    equal = (plain == found).reshape(len(plain), -1).mean(axis=1)
    return Score("values_right", estimate(equal), float((plain == permuted_values(plain)).mean()), 1.0)


def neighbours_right(layout: np.ndarray, block_order: np.ndarray) -> float:
    """The share of neighbouring blocks of a layout that are neighbours in the plain image, in its best symmetry.

    Args:
        layout: int[rows, columns], which encrypted block stands where.
        block_order: int[N], which plain block each encrypted block is.
    """
    columns = layout.shape[1]
    shares = []
    for _, turned in symmetries(block_order[layout]):
        across = (turned[:, 1:] == turned[:, :-1] + 1) & (turned[:, 1:] % columns != 0)
        down = turned[1:] == turned[:-1] + columns
        shares.append((across.sum() + down.sum()) / max(1, across.size + down.size))
    return float(max(shares))


OF_THUMBNAILS = ("ssim_of_block_means", "ssim_of_block_colours")
"""Scores of a picture of one value, or one colour, a block: no number about the picture itself."""


def block_means(images: np.ndarray, side: int, *, colours: bool = False) -> np.ndarray:
    """The mean of every block, uint8[n, H / M, W / M, 1], or of each of its channels, uint8[n, H / M, W / M, C]."""
    n, height, width, channels = images.shape
    blocks = to_blocks(images, side)
    means = blocks.reshape(*blocks.shape[:2], -1, channels if colours else 1).mean(axis=2)
    return np.rint(means).reshape(n, height // side, width // side, -1).astype(np.uint8)
