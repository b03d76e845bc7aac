"""Each attack tried on a case and judged by the truth, beside chance and the best that is possible."""

from collections.abc import Callable, Iterator

import numpy as np

from dkjax.attacks.cases import Case
from dkjax.attacks.inverter import READINGS, Inverter
from dkjax.attacks.inverter_network import Params
from dkjax.attacks.jigsaw import FEWEST_BLOCKS, Puzzle
from dkjax.attacks.judging import (
    NotApplicableError,
    SsimJudge,
    Step,
    Tally,
    block_means,
    neighbours_right,
    ssim_score,
    values_score,
)
from dkjax.attacks.linking import Linking
from dkjax.attacks.look import adjacent_correlation, look
from dkjax.attacks.median import Median
from dkjax.attacks.plaintext import KnownPlaintext
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.rounds import ManyRounds
from dkjax.attacks.ssim import WINDOW, best_turned
from dkjax.attacks.statistics import Score, estimate, permuted_values
from dkjax.attacks.template import Template
from dkjax.attacks.thumbnail import Thumbnail
from dkjax.cipher.array_blocks import from_blocks, to_blocks

_ROUNDS = (2, 8)
_CAMERA_NOISE = 2.0


Steps = Iterator[Step]
"""A step for each image or for all; the last is the attack's, or as far as there was time."""


def try_looking(case: Case) -> Steps:
    """Looking at it."""
    yield Step(look(_plain(case), case.sent.images))


def try_median(case: Case) -> Steps:
    """A median filter."""
    plain = _plain(case)
    found = Median().run(case.sent.images, Knowledge(case.scheme.block_size))
    yield Step([ssim_score(plain, found)], found.images)


def try_linking(case: Case) -> Steps:
    """Linking with plain candidates."""
    plain = _plain(case)
    assert case.candidates is not None
    # Candidates that are equal cannot be told apart, and either is right.
    _, same = np.unique(case.candidates.reshape(len(case.candidates), -1), axis=0, return_inverse=True)
    found = Linking().run(case.sent.images, Knowledge(case.scheme.block_size, candidates=case.candidates)).best
    right = same[found] == same[: len(plain)]
    score = Score(f"top1_of_{len(case.candidates)}", estimate(right), 1 / len(case.candidates), 1.0)
    yield Step([score], case.candidates[found])


def try_linking_uploads(case: Case) -> Steps:
    """Linking two encryptions of the same images."""
    plain = _plain(case)
    assert case.candidates is not None and case.send is not None
    again = case.send(case.candidates).images
    found = Linking().run(case.sent.images, Knowledge(case.scheme.block_size, candidates=again)).best
    _, same = np.unique(case.candidates.reshape(len(case.candidates), -1), axis=0, return_inverse=True)
    yield Step([Score(f"top1_of_{len(again)}", estimate(same[found] == same[: len(plain)]), 1 / len(again), 1.0)])


def try_known_plaintext(case: Case) -> Steps:
    """Reading all images but the last with the pair of that one."""
    plain = _plain(case)
    if len(plain) < 2:
        raise NotApplicableError("one image is the known one, and there is no other to read")
    knowledge = Knowledge(case.scheme.block_size, pair=(plain[-1], case.sent.images[-1]))
    found = KnownPlaintext().run(case.sent.images[:-1], knowledge)
    yield Step([ssim_score(plain[:-1], found), values_score(plain[:-1], found.images)], found.images)


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
    judge, tally = SsimJudge(seen), Tally()
    pictures = []
    for number, scene in enumerate(plain):
        found = Template().run(sent.images[number : number + 1], Knowledge(side, scene=scene))
        assert found.layouts is not None and found.odd_blocks is not None
        if sent.block_orders is not None:
            placed = sent.block_orders[number][found.layouts[0].ravel()]
            tally.add("blocks_in_place", np.mean(placed == np.arange(placed.size)), 1 / placed.size)
        tally.add("changed_block_named", found.odd_blocks[0] == changed[number], 1 / blocks.shape[1])
        tally.add("ssim", *judge(number, found.images[0]))
        pictures.append(found.images[0])
        yield Step(tally.scores(), np.stack(pictures[:PICTURES]))


def try_rounds(case: Case) -> Steps:
    """The same images under several keys."""
    plain = _plain(case)
    assert case.send is not None
    again = np.stack([case.send(plain).images for _ in range(max(_ROUNDS) - 1)])
    scores = []
    for rounds in _ROUNDS:
        knowledge = Knowledge(case.scheme.block_size, again=again[: rounds - 1])
        found = ManyRounds().run(case.sent.images, knowledge)
        scores.append(ssim_score(plain, found, f"ssim_after_{rounds}"))
    yield Step(scores, found.images)


def try_thumbnail(case: Case) -> Steps:
    """Block means placed by likeness."""
    plain = _plain(case)
    side = case.scheme.block_size
    rows, columns = plain.shape[1] // side, plain.shape[2] // side
    if rows != columns or rows < WINDOW:
        raise NotApplicableError(f"{rows} x {columns} blocks: a square of at least {WINDOW} x {WINDOW} is needed")
    apart = plain.shape[3] > 1 and case.scheme.mixes != "channels"
    judged = {"ssim_of_block_means": False} | ({"ssim_of_block_colours": True} if apart else {})
    true = {metric: block_means(plain, side, colours=colours) for metric, colours in judged.items()}
    noise = {metric: permuted_values(means) for metric, means in true.items()}
    tally, pictures = Tally(), []
    for number, sent in enumerate(case.sent.images):
        found = Thumbnail().run(sent[None], Knowledge(side, scheme=case.scheme)).images
        for metric, colours in judged.items():
            made = block_means(found, side, colours=colours), noise[metric][number][None]
            tally.add(metric, *(float(best_turned(true[metric][number][None], one)[0]) for one in made))
        pictures.append(found[0])
        yield Step(tally.scores(), np.stack(pictures[:PICTURES]), symmetric=True)


def try_puzzle(case: Case) -> Steps:
    """Each image put together from itself alone."""
    side = case.scheme.block_size
    _, height, width, _ = case.sent.images.shape
    if side < 2 or height * width < FEWEST_BLOCKS * side * side:
        raise NotApplicableError(f"it needs at least {FEWEST_BLOCKS} blocks of at least 2 x 2 pixels")
    measurable = case.plain is not None and min(height, width) >= WINDOW
    judge = SsimJudge(_plain(case), symmetric=True) if measurable else None
    rng, tally, pictures = np.random.default_rng(0), Tally(), []
    for number, sent in enumerate(case.sent.images):
        found = Puzzle().run(sent[None], Knowledge(side))
        assert found.layouts is not None
        layout, picture = found.layouts[0], found.images[0]
        if case.plain is None:
            before, after = (float(adjacent_correlation(one[None])[0]) for one in (sent, picture))
            tally.add("adjacent_correlation", after, before)
        elif judge is not None:
            tally.add("ssim", *judge(number, picture))
        if case.sent.block_orders is not None:
            order = case.sent.block_orders[number]
            blind = neighbours_right(rng.permutation(order.size).reshape(layout.shape), order)
            tally.add("neighbours_right", neighbours_right(layout, order), blind)
        pictures.append(picture)
        yield Step(tally.scores(), np.stack(pictures[:PICTURES]), symmetric=True)


def try_inverter(case: Case) -> Steps:
    """A network that learned on public images, in each reading."""
    plain = _plain(case)
    if case.public is None:
        raise NotApplicableError("it needs public images: dkjax attack --public names some")
    side = case.scheme.block_size
    if min(plain.shape[1:3]) < 2 * side:
        raise NotApplicableError("it needs at least 2 x 2 blocks")
    judge, knowledge = SsimJudge(plain), Knowledge(side, public=case.public, scheme=case.scheme)
    attacks = [Inverter(reading) for reading in READINGS]
    steps, done, tally, pictures = sum(attack.steps for attack in attacks), 0, Tally(), None
    for attack in attacks:
        params: Params = {}
        for learned in attack.learn(knowledge):
            params, done = learned, done + 1
            if done < steps:
                yield Step(tally.scores(), pictures, learned=(done, steps))
        found = attack.restore(params, case.sent.images, knowledge).images
        for number, picture in enumerate(found):
            tally.add(f"ssim_{attack.reading}", *judge(number, picture))
        pictures = found if pictures is None else pictures
    yield Step(tally.scores(), pictures, learned=(steps, steps))


PICTURES = 4
"""Images of which pictures are kept."""

TRIALS: dict[str, Callable[[Case], Steps]] = {
    "looking": try_looking,
    "median": try_median,
    "linking": try_linking,
    "linking-uploads": try_linking_uploads,
    "known-plaintext": try_known_plaintext,
    "many-rounds": try_rounds,
    "template": try_template,
    "thumbnail": try_thumbnail,
    "puzzle": try_puzzle,
    "inverter": try_inverter,
}
"""The attacks by name, the cheapest first."""

ONE_BY_ONE = ("template", "thumbnail", "puzzle")
"""Attacks that take one image after the other, a step each, and so may be cut short."""


def _plain(case: Case) -> np.ndarray:
    if case.plain is None:
        raise NotApplicableError("it needs the plain images, which an encrypted data set does not have")
    return case.plain
