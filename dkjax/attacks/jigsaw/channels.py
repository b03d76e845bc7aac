"""Which positions of a block hold the same colour channel, and which hold the same pixel.

A channel has a distribution of its own, which every one of its positions samples once a block: quantiles over the
blocks part the channels. Discriminants of the block components (Fisher 1936) sharpen the partition. The values of one
pixel rise and fall together over the blocks, more than those of neighbouring pixels.
"""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from dkjax.attacks.jigsaw.rows import components, even_rows, whitened

_QUANTILES = np.linspace(0.03, 0.97, 17)
_ROUNDS = 8


def channel_of_positions(blocks: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Part the positions of a block into channels of equal size.

    Args:
        blocks: float64[N, P], a block in each row, all in one unknown order of values.
        channels: how many channels there are.
        rng: where the first centres come from.

    Returns:
        int[P], the channel of each position; which number means which colour is arbitrary.
    """
    if channels == 1:
        return np.zeros(blocks.shape[1], int)
    quantiles = np.quantile(blocks, _QUANTILES, axis=0).T
    labels = _clusters(components(quantiles, 6), channels, rng)
    features = components(even_rows(blocks, power=0.5).T, 24)
    for _ in range(_ROUNDS):
        before = labels
        labels = _clusters(_discriminants(features, labels, channels), channels, rng)
        if np.array_equal(labels, before):
            break
    return labels


def pixels_of_positions(blocks: np.ndarray, labels: np.ndarray, channels: int) -> np.ndarray:
    """Find the positions that hold the channels of one pixel.

    Args:
        blocks: float64[N, P].
        labels: int[P], the channel of each position.
        channels: how many channels there are.

    Returns:
        int[P / channels, channels], the positions of each pixel.
    """
    members = [np.flatnonzero(labels == channel) for channel in range(channels)]
    matches = {}
    for one, other in itertools.combinations(range(channels), 2):
        pairs = [_match(form(blocks[:, members[one]]), form(blocks[:, members[other]])) for form in _FORMS]
        matches[one, other] = max(pairs, key=lambda pair: pair[1])
    # A spanning tree of the channels, the surest pair first.
    pixels: dict[int, np.ndarray] = {}
    chosen = sorted(matches.items(), key=lambda item: -item[1][1])
    if channels == 1:
        return members[0][:, None]
    first = chosen[0][0][0]
    pixels[first] = np.arange(len(members[first]))
    while len(pixels) < channels:
        for (one, other), (partner, _) in chosen:
            if one in pixels and other not in pixels:
                pixels[other] = partner[pixels[one]]
                break
            if other in pixels and one not in pixels:
                pixels[one] = np.argsort(partner)[pixels[other]]
                break
    return np.stack([members[channel][pixels[channel]] for channel in range(channels)], axis=1)


_FORMS = (lambda rows: even_rows(rows, power=0.0), lambda rows: whitened(even_rows(rows, power=0.0), 0.1))


def _match(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, float]:
    """Assign the columns of one matrix to those of another by correlation; and how clear the choice was."""
    correlation = _unit(one).T @ _unit(other)
    rows, partner = linear_sum_assignment(-correlation)
    chosen = correlation[rows, partner]
    rest = correlation.copy()
    rest[rows, partner] = -1
    margin = (1 - np.maximum(rest.max(axis=1), rest.max(axis=0)[partner])) / (1 - chosen + 1e-6)
    return partner, float(np.median(margin))


def _unit(columns: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    return centred / (np.linalg.norm(centred, axis=0) + 1e-9)


def _clusters(features: np.ndarray, count: int, rng: np.random.Generator, starts: int = 6) -> np.ndarray:
    """Group rows of `features` into `count` clusters of equal size, by k-means and an assignment."""
    best, best_distance = None, np.inf
    for _ in range(starts):
        centres = features[rng.integers(len(features))][None]
        while len(centres) < count:
            nearest = _distances(features, centres).min(axis=1) + 1e-12
            centres = np.vstack([centres, features[rng.choice(len(features), p=nearest / nearest.sum())]])
        for _ in range(15):
            labels = _distances(features, centres).argmin(axis=1)
            present = [features[labels == label] for label in range(count)]
            centres = np.array(
                [group.mean(axis=0) if len(group) else centre for group, centre in zip(present, centres, strict=True)]
            )
        distances = _distances(features, centres)
        if distances.min(axis=1).sum() < best_distance:
            best, best_distance = distances, distances.min(axis=1).sum()
    assert best is not None
    size = len(features) // count
    return linear_sum_assignment(np.repeat(best, size, axis=1))[1] // size


def _distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((features[:, None] - centres[None]) ** 2).sum(axis=-1)


def _discriminants(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Project features on the directions that part the classes best against the spread within them."""
    means = np.array([features[labels == label].mean(axis=0) for label in range(count)])
    within = np.cov(features - means[labels], rowvar=False, bias=True)
    within += np.eye(len(within)) * (np.trace(within) / len(within) * 1e-3 + 1e-9)
    inverse_root = np.linalg.inv(np.linalg.cholesky(within)).T
    projected = features @ inverse_root
    centres = means @ inverse_root
    _, _, directions = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)
    return projected @ directions[: count - 1].T
