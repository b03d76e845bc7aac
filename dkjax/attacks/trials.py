"""Each attack tried on a case and judged by the truth, beside chance and the best that is possible."""

from collections.abc import Callable, Iterator

import numpy as np

from dkjax.attacks.blocks import from_blocks, to_blocks
from dkjax.attacks.cases import Case
from dkjax.attacks.jigsaw import FEWEST_BLOCKS, Puzzle
from dkjax.attacks.linking import Linking
from dkjax.attacks.look import adjacent_correlation, look
from dkjax.attacks.plaintext import KnownPlaintext
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.attacks.rounds import ManyRounds
from dkjax.attacks.ssim import WINDOW, best_turned, ssim
from dkjax.attacks.statistics import Score, estimate, mean_image, permuted_values
from dkjax.attacks.symmetry import symmetries
from dkjax.attacks.template import Template
from dkjax.attacks.thumbnail import Thumbnail
from dkjax.errors import DkjaxError

_ROUNDS = (2, 8)
_CAMERA_NOISE = 2.0

Steps = Iterator[list[Score]]
"""Scores after each step of an attack over the images so far; the last are the attack's, or all there was time for."""


class NotApplicableError(DkjaxError):
    """An attack needs what is not there."""


def try_looking(case: Case) -> Steps:
    """Looking at it."""
    yield look(_plain(case), case.sent.images)


def try_linking(case: Case) -> Steps:
    """Linking with plain candidates."""
    plain = _plain(case)
    assert case.candidates is not None
    # Candidates that are equal cannot be told apart, and either is right.
    _, same = np.unique(case.candidates.reshape(len(case.candidates), -1), axis=0, return_inverse=True)
    found = Linking().run(case.sent.images, Knowledge(case.scheme.block_size, candidates=case.candidates)).best
    right = same[found] == same[: len(plain)]
    yield [Score(f"top1_of_{len(case.candidates)}", estimate(right), 1 / len(case.candidates), 1.0)]


def try_linking_uploads(case: Case) -> Steps:
    """Linking two encryptions of the same images."""
    plain = _plain(case)
    assert case.candidates is not None and case.send is not None
    again = case.send(case.candidates).images
    found = Linking().run(case.sent.images, Knowledge(case.scheme.block_size, candidates=again)).best
    _, same = np.unique(case.candidates.reshape(len(case.candidates), -1), axis=0, return_inverse=True)
    yield [Score(f"top1_of_{len(again)}", estimate(same[found] == same[: len(plain)]), 1 / len(again), 1.0)]


def try_known_plaintext(case: Case) -> Steps:
    """Reading all images but one with the pair of that one."""
    plain = _plain(case)
    if len(plain) < 2:
        raise NotApplicableError("one image is the known one, and there is no other to read")
    knowledge = Knowledge(case.scheme.block_size, pair=(plain[0], case.sent.images[0]))
    found = KnownPlaintext().run(case.sent.images[1:], knowledge)
    yield [_ssim_score(plain[1:], found), _values_score(plain[1:], found.images)]


def try_template(case: Case) -> Steps:
    """Images of a known scene with a defect in one block and a camera's noise, encrypted anew."""
    plain = _plain(case)
    assert case.send is not None
    rng = np.random.default_rng(0)
    side = case.scheme.block_size
    noisy = np.clip(np.rint(plain + rng.normal(0, _CAMERA_NOISE, plain.shape)), 0, 255).astype(np.uint8)
    blocks = to_blocks(noisy, side)
    changed = rng.integers(blocks.shape[1], size=len(plain))
    # The defect: the upper half of the block in its negative.
    half = blocks.shape[2] // 2
    blocks[np.arange(len(plain)), changed, :half] = 255 - blocks[np.arange(len(plain)), changed, :half]
    seen = from_blocks(blocks, plain.shape[1:], side)
    sent = case.send(seen)
    back, named, pictures = [], [], []
    for number, scene in enumerate(plain):
        found = Template().run(sent.images[number : number + 1], Knowledge(side, scene=scene))
        assert found.layouts is not None and found.odd_blocks is not None
        if sent.block_orders is not None:
            placed = sent.block_orders[number][found.layouts[0].ravel()]
            back.append(np.mean(placed == np.arange(placed.size)))
        named.append(found.odd_blocks[0] == changed[number])
        pictures.append(found.images[0])
        scores = [Score("changed_block_named", estimate(np.array(named)), 1 / blocks.shape[1], 1.0)]
        if back:
            scores.insert(0, Score("blocks_in_place", estimate(np.array(back)), 1 / blocks.shape[1], 1.0))
        yield [*scores, _ssim_score(seen[: number + 1], Reconstruction(np.stack(pictures)))]


def try_rounds(case: Case) -> Steps:
    """The same images under several keys."""
    plain = _plain(case)
    assert case.send is not None
    again = np.stack([case.send(plain).images for _ in range(max(_ROUNDS) - 1)])
    scores = []
    for rounds in _ROUNDS:
        knowledge = Knowledge(case.scheme.block_size, again=again[: rounds - 1])
        score = _ssim_score(plain, ManyRounds().run(case.sent.images, knowledge))
        scores.append(Score(f"ssim_after_{rounds}", score.reached, score.chance, score.ceiling))
    yield scores


def try_thumbnail(case: Case) -> Steps:
    """Block means placed by likeness."""
    plain = _plain(case)
    side = case.scheme.block_size
    rows, columns = plain.shape[1] // side, plain.shape[2] // side
    if rows != columns or rows < WINDOW:
        raise NotApplicableError(f"{rows} x {columns} blocks: a square of at least {WINDOW} x {WINDOW} is needed")
    found = []
    for number in range(len(plain)):
        found.append(Thumbnail().run(case.sent.images[number : number + 1], Knowledge(side)).images[0])
        true, made = (_block_means(images, side) for images in (plain[: number + 1], np.stack(found)))
        noise = best_turned(true, permuted_values(true)).mean()
        yield [Score("ssim_of_block_means", estimate(best_turned(true, made)), float(noise), 1.0)]


def try_puzzle(case: Case) -> Steps:
    """Each image put together from itself alone."""
    side = case.scheme.block_size
    _, height, width, _ = case.sent.images.shape
    if side < 2 or height * width < FEWEST_BLOCKS * side * side:
        raise NotApplicableError(f"it needs at least {FEWEST_BLOCKS} blocks of at least 2 x 2 pixels")
    images: list[np.ndarray] = []
    neighbours: list[float] = []
    for number in range(len(case.sent.images)):
        found = Puzzle().run(case.sent.images[number : number + 1], Knowledge(side))
        assert found.layouts is not None
        images.append(found.images[0])
        together = Reconstruction(np.stack(images), symmetric=True)
        scores = []
        if case.plain is None:
            sent = float(adjacent_correlation(case.sent.images).mean())
            scores.append(Score("adjacent_correlation", estimate(adjacent_correlation(together.images)), sent, None))
        elif min(height, width) >= WINDOW:
            scores.append(_ssim_score(case.plain[: number + 1], together))
        if case.sent.block_orders is not None:
            neighbours.append(neighbours_right(found.layouts[0], case.sent.block_orders[number]))
            chance = _chance_neighbours(case.sent.block_orders, found.layouts[0].shape)
            scores.append(Score("neighbours_right", estimate(np.array(neighbours)), chance, 1.0))
        yield scores


TRIALS: dict[str, Callable[[Case], Steps]] = {
    "looking": try_looking,
    "linking": try_linking,
    "linking-uploads": try_linking_uploads,
    "known-plaintext": try_known_plaintext,
    "many-rounds": try_rounds,
    "template": try_template,
    "thumbnail": try_thumbnail,
    "puzzle": try_puzzle,
}
"""The attacks by name, the cheapest first."""

ONE_BY_ONE = ("template", "thumbnail", "puzzle")
"""Attacks that take one image after the other, a step each, and so may be cut short."""


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


def _chance_neighbours(block_orders: np.ndarray, shape: tuple[int, ...]) -> float:
    rng = np.random.default_rng(0)
    layouts = (rng.permutation(order.size).reshape(shape) for order in block_orders)
    return float(np.mean([neighbours_right(*pair) for pair in zip(layouts, block_orders, strict=True)]))


def _plain(case: Case) -> np.ndarray:
    if case.plain is None:
        raise NotApplicableError("it needs the plain images, which an encrypted data set does not have")
    return case.plain


def _ssim_score(plain: np.ndarray, found: Reconstruction) -> Score:
    if min(plain.shape[1:3]) < WINDOW:
        raise NotApplicableError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels")
    measure = best_turned if found.symmetric else ssim
    knows_nothing = max(float(measure(plain, blind).mean()) for blind in (mean_image(plain), permuted_values(plain)))
    return Score("ssim", estimate(measure(plain, found.images)), knows_nothing, 1.0)


def _values_score(plain: np.ndarray, found: np.ndarray) -> Score:
    equal = (plain == found).reshape(len(plain), -1).mean(axis=1)
    return Score("values_right", estimate(equal), float((plain == permuted_values(plain)).mean()), 1.0)


def _block_means(images: np.ndarray, side: int) -> np.ndarray:
    rows, columns = images.shape[1] // side, images.shape[2] // side
    means = to_blocks(images, side).mean(axis=2).reshape(len(images), rows, columns, 1)
    return np.rint(means).astype(np.uint8)
