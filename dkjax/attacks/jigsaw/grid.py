"""The place of every pixel in a block: like pixels are neighbours.

Distances along shortest paths between like pixels (Isomap: Tenenbaum, de Silva, Langford 2000) give two coordinates,
an assignment brings them to the M x M grid, a quadratic assignment (Frank and Wolfe on doubly stochastic matrices:
Vogelstein et al. 2015) straightens it, and swaps finish it. How pixels are compared decides whether this works; so
several forms are tried, and judged by one measure.
"""

import functools

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import shortest_path
from scipy.sparse.linalg import eigsh

from dkjax.attacks.jigsaw.rows import even_rows, whitened
from dkjax.attacks.symmetry import symmetries

_FORMS = (
    (None, 0.5, 6),
    (None, 1.0, 6),
    (None, 0.5, 8),
    (0.3, 1.0, 8),
    (0.1, 1.0, 6),
    (0.3, 0.5, 6),
    (0.03, 1.0, 8),
)
"""How pixels are compared, the most successful first: the share of `whitened`, the power of differences, and how many
nearest pixels count as like."""

_ANGLES = 12
_AGREEMENT = 0.9
_KEPT_DEVIATIONS = 3.0
_KEPT_UNLESS = 0.4


def place_pixels(rows: np.ndarray, side: int) -> np.ndarray:
    """Find the place of each pixel in a block.

    Args:
        rows: float64[n, M * M], what is known of each pixel, a column each: its values over the blocks and channels.
        side: the side `M` of a block.

    Returns:
        int[M * M], the place of each pixel in row-major order, up to the symmetries of a square.
    """
    if side == 1:
        return np.zeros(1, int)
    even = even_rows(rows, 1.0)
    judged = _distances(even, 1.0)
    near, nearer = _nearness(side, 1.0), _nearness(side, 0.7)
    found: list[tuple[float, np.ndarray]] = []
    for share, power, neighbours in _FORMS:
        form = even if share is None else even_rows(whitened(even, share), 1.0, floor=0.0)
        distances = judged if (share, power) == (None, 1.0) else _distances(form, power)
        places = _straighten(distances, near, _to_grid(_embed(distances, neighbours), side))
        places = _swap(judged, nearer, places)
        # Two ways that end in the same place have not lost theirs.
        agreed = any(_agreement(places, other, side) > _AGREEMENT for _, other in found)
        found.append((_cost(judged, nearer, places), places))
        if agreed:
            break
    return min(found, key=lambda pair: pair[0])[1]


def places_kept(rows: np.ndarray, side: int) -> np.ndarray | None:
    """Find places where some of what is placed was never moved, and only what fits badly was.

    Args:
        rows: as `place_pixels`, its columns in the order in which they were sent.
        side: as `place_pixels`.

    Returns:
        As `place_pixels`, the right way up; None where the order as sent is no more like a picture than a random one.
    """
    distances, near = _distances(even_rows(rows, 1.0), 1.0), _nearness(side, 0.7)
    sent, rng = np.arange(side * side), np.random.default_rng(0)
    random = np.array([_cost(distances, near, rng.permutation(sent)) for _ in range(20)])
    if random.mean() - _cost(distances, near, sent) <= _KEPT_DEVIATIONS * random.std():
        return None
    # An exchange must gain a good part of what one place costs in a random order: those that gain less are as often
    # of two that were in their places.
    return _swap(distances, near, sent, least=_KEPT_UNLESS * near.sum(axis=1).mean())


@functools.cache
def _cells(side: int) -> np.ndarray:
    return np.stack(np.divmod(np.arange(side * side), side), axis=1).astype(float)


@functools.cache
def _nearness(side: int, width: float) -> np.ndarray:
    """A Gaussian of the distance between two places, zero for a place and itself."""
    cells = _cells(side)
    squared = ((cells[:, None] - cells[None]) ** 2).sum(axis=-1)
    near = np.exp(-squared / (2 * width**2))
    np.fill_diagonal(near, 0)
    return near


def _distances(columns: np.ndarray, power: float) -> np.ndarray:
    """Squared distances between columns, one in the mean; a low power keeps a few great differences from deciding."""
    assert power in (0.5, 1.0)
    sums = np.zeros((columns.shape[1],) * 2)
    for row in columns:
        differences = np.abs(row[:, None] - row[None])
        sums += differences if power == 1 else np.sqrt(differences)
    distances = sums ** (2 / power)
    return distances / (distances.mean() + 1e-12)


def _embed(distances: np.ndarray, neighbours: int) -> np.ndarray:
    """Two coordinates for each pixel, float64[n, 2]."""
    count = len(distances)
    lengths = np.sqrt(distances)
    np.fill_diagonal(lengths, np.inf)
    rows = np.arange(count)[:, None]
    neighbours = min(neighbours, count - 1)
    nearest = np.argpartition(lengths, neighbours - 1, axis=1)[:, :neighbours]
    graph = np.zeros_like(lengths)
    # Zero means no edge to SciPy.
    graph[rows, nearest] = np.maximum(lengths[rows, nearest], 1e-9)
    paths = shortest_path(np.maximum(graph, graph.T), method="D", directed=False)
    reached = np.isfinite(paths)
    paths[~reached] = 1.5 * paths[reached].max()
    centring = np.eye(count) - 1 / count
    # Two components of many: Lanczos, from a start of its own so that the same image gives the same solution.
    start = np.random.default_rng(0).normal(size=(count, 2))
    if np.ptp(paths[~np.eye(count, dtype=bool)]) < 1e-6:
        return start  # pixels that do not differ have no order
    values, vectors = eigsh(-0.5 * centring @ paths**2 @ centring, k=2, which="LA", v0=start[:, 0])
    return vectors * np.sqrt(np.maximum(values, 0))


def _to_grid(points: np.ndarray, side: int) -> np.ndarray:
    """Assign points to the places of a grid, at the angle at which they fit best."""
    left, _, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    cells = _cells(side) - (side - 1) / 2
    cells = cells / cells.std()
    best, best_cost = np.arange(len(points)), np.inf
    for angle in np.linspace(0, np.pi / 2, _ANGLES, endpoint=False):
        cosine, sine = np.cos(angle), np.sin(angle)
        rotated = left @ np.array([[cosine, -sine], [sine, cosine]]) * np.sqrt(len(points))
        cost = ((rotated[:, None] - cells[None]) ** 2).sum(axis=-1)
        rows, places = linear_sum_assignment(cost)
        if cost[rows, places].sum() < best_cost:
            best, best_cost = places, cost[rows, places].sum()
    return best


def _cost(distances: np.ndarray, near: np.ndarray, places: np.ndarray) -> float:
    return float((distances * near[np.ix_(places, places)]).sum())


def _straighten(distances: np.ndarray, near: np.ndarray, places: np.ndarray, steps: int = 10) -> np.ndarray:
    """Lower the cost of a quadratic assignment from where it stands."""
    soft = np.eye(len(places))[places]
    for _ in range(steps):
        product = distances @ soft
        gradient = 2 * product @ near
        step = np.eye(len(places))[linear_sum_assignment(gradient)[1]] - soft
        slope, curvature = (gradient * step).sum(), ((distances @ step) * (step @ near)).sum()
        if slope >= -1e-9 * abs((gradient * soft).sum()):
            break
        soft = soft + (1.0 if curvature <= 0 else min(1.0, -slope / (2 * curvature))) * step
    return linear_sum_assignment(-soft)[1]


def _swap(
    distances: np.ndarray, near: np.ndarray, places: np.ndarray, rounds: int = 60, least: float = 1e-9
) -> np.ndarray:
    """Exchange pairs of pixels for as long as that lowers the cost by at least so much."""
    places = places.copy()
    count = len(places)
    upper = np.triu(np.ones((count, count), bool), 1)
    for _ in range(rounds):
        moved = (distances @ near[places])[:, places]
        own = np.diag(moved)
        gain = moved + moved.T - own[:, None] - own[None] + 2 * distances * near[np.ix_(places, places)]
        gain = np.where(upper, gain, 0)
        used: set[int] = set()
        best = np.argpartition(gain, 32, axis=None)[:32] if gain.size > 64 else np.arange(gain.size)
        for flat in best[np.argsort(gain.flat[best])]:
            one, other = divmod(int(flat), count)
            # Gains are of swaps alone: those that touch the same pixel wait for the next round.
            if gain[one, other] >= -least or used & {one, other}:
                continue
            used |= {one, other}
            places[[one, other]] = places[[other, one]]
        if not used:
            break
    return places


def _agreement(places: np.ndarray, others: np.ndarray, side: int) -> float:
    """The share of pixels that two solutions put at the same place, in the best of eight symmetries."""
    grid = np.argsort(places).reshape(side, side)
    other = np.argsort(others).reshape(side, side)
    return max(float(np.mean(grid == turned)) for _, turned in symmetries(other))
