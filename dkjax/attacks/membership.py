"""Membership inference: was an image among those that a model was trained on?

A model is surer of what it has seen. The loss alone tells already (Yeom et al. 2018); compared with the losses of
shadow models, of which some were trained with the image and some without, it tells more (the likelihood ratio of
Carlini et al. 2022, with one variance for all images, as there are few shadows).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from dkjax.attacks.statistics import Estimate
from dkjax.cipher import Scheme
from dkjax.client import encrypt
from dkjax.client.upload import Upload
from dkjax.errors import ArgumentError
from dkjax.input.record_pool import RecordPool
from dkjax.models.vit import Model
from dkjax.seeds import generator
from dkjax.server import train as train_on_server

Train = Callable[[np.ndarray, int], np.ndarray]
"""Trains on the images of these positions, int[k], with this seed, and returns the log-odds of the true class of every
image of the pool, float[n]."""


@dataclasses.dataclass(frozen=True)
class Membership:
    """How well members are told from others.

    Attributes:
        auc: the share of pairs of a member and another in which the member scores higher; .5 for guessing.
        true_positives: of members, at the false positive rate of `at`.
        at: a share of others that may be taken for members.
    """

    auc: Estimate
    true_positives: Estimate
    at: float


@dataclasses.dataclass(frozen=True)
class Audit:
    """Both attacks on one way of training.

    Attributes:
        loss: by the loss of the target alone.
        ratio: by likelihood ratios with the shadows.
    """

    loss: Membership
    ratio: Membership


def audit(train: Train, count: int, shadows: int = 4, seed: int = 0, at: float = 0.05) -> Audit:
    """Train a target and shadow models on halves of a pool, and tell the target's members.

    Args:
        train: see `Train`.
        count: how many images the pool has, at least 8.
        shadows: how many shadow models; an even number, as every image is in half of them.
        seed: of the halves.
        at: a share of others that may be taken for members.

    Returns:
        How far both attacks come.

    Raises:
        ArgumentError: `shadows` is no even number above 0, or the pool is too small.

    Guarantees:
        - an overfitted model gives its members away
          (`test_membership.py::test_an_overfitted_model_gives_members_away`).
        - images that no model was trained on are at chance (`test_membership.py::test_others_are_at_chance`).
    """
    if shadows < 2 or shadows % 2 or count < 8:
        raise ArgumentError(f"expected an even number of shadows and at least 8 images, got {shadows} and {count}")
    rng = generator("dkjax.attacks.membership", seed)
    halves = [_half(rng, count)]
    for _ in range(shadows // 2):
        half = _half(rng, count)
        halves += [half, ~half]
    odds = np.stack([train(np.flatnonzero(half), number) for number, half in enumerate(halves)])
    members = halves[0]
    ratio = likelihood_ratios(odds[0], odds[1:], np.stack(halves[1:]))
    return Audit(distinguish(odds[0], members, at), distinguish(ratio, members, at))


def server_training(
    model: Model, images: np.ndarray, labels: np.ndarray, scheme: Scheme | None, asked: int = 4, **settings: Any
) -> Train:
    """Train as a server does, on uploads of the pool.

    Args:
        model: the network.
        images: uint8[n, H, W, C], the pool, plain.
        labels: int[n].
        scheme: how members are encrypted, each under a fresh key; None to train on plain images.
        asked: under how many fresh keys each image is shown to the model; its log-odds are averaged.
        **settings: of `dkjax.server.train`, such as `epochs` and `optimizer`.

    Returns:
        What `audit` takes.
    """
    names = [str(label) for label in range(model.num_classes)]

    def train(members: np.ndarray, seed: int) -> np.ndarray:
        upload = _upload(images[members], labels[members], scheme, names)
        run = train_on_server(model, [upload], class_names=names, seed=seed, **settings)
        shown = range(asked if scheme is not None else 1)
        views = [_upload(images, labels, scheme, names).pool[: len(images)]["image"] for _ in shown]
        own = np.stack([run.probabilities(view)[np.arange(len(labels)), labels] for view in views]).astype(float)
        own = np.clip(own, 1e-7, 1 - 1e-7)
        return (np.log(own) - np.log1p(-own)).mean(axis=0)

    return train


def _upload(images: np.ndarray, labels: np.ndarray, scheme: Scheme | None, names: list[str]) -> Upload:
    if scheme is None:
        return Upload("plain", 1, RecordPool([{"image": images, "label": labels.astype(np.int32)}]))
    return encrypt(images, labels, scheme, client="members", class_names=names)


def likelihood_ratios(target: np.ndarray, shadows: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Say how much likelier the target's log-odds are for members, by normal distributions of the shadows' log-odds.

    Args:
        target: float[n], log-odds of the model attacked.
        shadows: float[s, n], of the shadow models.
        members: bool[s, n], which images each shadow was trained on; each in at least one, and not in all.

    Returns:
        float[n], logarithms of the ratios.
    """
    means, deviations = [], []
    for among in (members, ~members):
        mean = (shadows * among).sum(axis=0) / among.sum(axis=0)
        spread = ((shadows - mean) ** 2 * among).sum() / max(1, among.sum() - len(mean))
        means.append(mean)
        deviations.append(np.sqrt(spread) + 1e-6)
    inside, outside = (
        -0.5 * ((target - mean) / deviation) ** 2 - np.log(deviation)
        for mean, deviation in zip(means, deviations, strict=True)
    )
    return inside - outside


def distinguish(scores: np.ndarray, members: np.ndarray, at: float = 0.05, draws: int = 1000) -> Membership:
    """Tell members by their scores, with 95 % bootstrap intervals over members and over others.

    Args:
        scores: float[n], higher for what is more likely a member.
        members: bool[n], the truth.
        at: a share of others that may be taken for members.
        draws: samples of the bootstrap.

    Returns:
        Area under the curve, and true positives at that rate.
    """
    inside, outside = scores[members], scores[~members]
    rng = generator("dkjax.attacks.membership.bootstrap", 0)
    samples = [
        (inside[rng.integers(len(inside), size=len(inside))], outside[rng.integers(len(outside), size=len(outside))])
        for _ in range(draws)
    ]
    auc, found = ([measure(*pair, at) for pair in [(inside, outside), *samples]] for measure in (_auc, _found))
    return Membership(_estimate(auc, len(scores)), _estimate(found, len(scores)), at)


def _estimate(values: list[float], images: int) -> Estimate:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high), images)


def _auc(inside: np.ndarray, outside: np.ndarray, at: float) -> float:
    ordered = np.sort(outside)
    below, up_to = (np.searchsorted(ordered, inside, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(outside)))


def _found(inside: np.ndarray, outside: np.ndarray, at: float) -> float:
    return float((inside > np.quantile(outside, 1 - at, method="higher")).mean())


def _half(rng: np.random.Generator, count: int) -> np.ndarray:
    half = np.zeros(count, bool)
    half[rng.permutation(count)[: count // 2]] = True
    return half
