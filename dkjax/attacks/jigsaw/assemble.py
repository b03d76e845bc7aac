"""The order of the blocks, from how well they continue each other: a jigsaw puzzle without rotation.

Two solvers that fail on different pictures. Greedy groups join the surest pairs first (Gallagher 2012). A linear
program gives every block coordinates that satisfy most of the best pairs, with the pairs that contradict it left out
in turn (Yu, Russell, Agapito 2016). Both are finished by shifts and swaps, and the better by its borders is taken.
Where blocks are known to have been left in place, `settle` starts from all of them and exchanges those that do not fit.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import csr_matrix

from dkjax.attacks.jigsaw.borders import Borders

_CANDIDATES = 6
_LARGEST_WEIGHT = 10.0
_ROUNDS = 4
_HOME = 2.0


def assemble(borders: Borders, rows: int, columns: int) -> np.ndarray:
    """Put blocks together.

    Args:
        borders: how badly the blocks fit each other.
        rows: rows of blocks in the picture.
        columns: columns of blocks.

    Returns:
        int[rows, columns], which block stands where.
    """
    layouts = [_greedy(borders, rows, columns), _linear_program(borders, rows, columns)]
    finite = Borders(_finite(borders.right), _finite(borders.below))
    finished = [_swap(_shift(layout, finite), finite) for layout in layouts]
    return min(finished, key=finite.cost)


def settle(layout: np.ndarray, borders: Borders) -> np.ndarray:
    """Better a layout in the knowledge that many blocks are where they were sent.

    Args:
        layout: int[rows, columns], a solution that is turned as it was sent.
        borders: how badly the blocks fit each other.

    Returns:
        int[rows, columns], the better of this solution and of all blocks as sent, each with blocks exchanged.
    """
    finite = Borders(_finite(borders.right), _finite(borders.below))
    sent = np.arange(layout.size).reshape(layout.shape)
    # To stay where it is is worth a border or two to a block: most of them have stayed.
    worth = _HOME * finite.cost(layout) / (2 * layout.size)
    finished = [_swap(start, finite, worth) for start in (layout, sent)]
    return min(finished, key=lambda found: finite.cost(found) - worth * (found == sent).sum())


def _finite(distances: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(distances), distances, 0)


def _sureness(distances: np.ndarray) -> np.ndarray:
    """How many times better than the best other partner of either block a pair fits."""
    by_row = np.partition(distances, 1, axis=1)
    by_column = np.partition(distances, 1, axis=0)
    others_of_row = np.where(distances <= by_row[:, :1], by_row[:, 1:2], by_row[:, :1])
    others_of_column = np.where(distances <= by_column[:1], by_column[1:2], by_column[:1])
    return np.minimum(others_of_row, others_of_column) / (distances + 1e-9)


def _greedy(borders: Borders, rows: int, columns: int) -> np.ndarray:
    """Join groups of blocks, the surest pair first, as long as they do not overlap and fit the picture."""
    count = rows * columns
    pairs = []
    for distances, step in ((borders.right, (0, 1)), (borders.below, (1, 0))):
        sure = _sureness(distances)
        best = np.argsort(-sure, axis=None)[: count * _CANDIDATES]
        pairs += [(sure.flat[flat], *divmod(int(flat), count), step) for flat in best]
    pairs.sort(key=lambda pair: -pair[0])
    group_of = list(range(count))
    groups = {block: {block: (0, 0)} for block in range(count)}
    for _, one, other, (down, right) in pairs:
        home, guest = group_of[one], group_of[other]
        if home == guest:
            continue
        (top, left), (own_top, own_left) = groups[home][one], groups[guest][other]
        down, right = top + down - own_top, left + right - own_left
        moved = {block: (y + down, x + right) for block, (y, x) in groups[guest].items()}
        taken = set(groups[home].values())
        if not taken.isdisjoint(moved.values()):
            continue
        heights, widths = zip(*taken, *moved.values(), strict=True)
        if max(heights) - min(heights) >= rows or max(widths) - min(widths) >= columns:
            continue
        groups[home].update(moved)
        for block in moved:
            group_of[block] = home
        del groups[guest]
    return _pack(list(groups.values()), borders, rows, columns)


def _pack(groups: list[dict[int, tuple[int, int]]], borders: Borders, rows: int, columns: int) -> np.ndarray:
    """Place groups where their borders fit best, the largest first; blocks of groups without room fill the gaps."""
    layout = np.full((rows, columns), -1)
    left_over: list[int] = []
    for group in sorted(groups, key=len, reverse=True):
        blocks = np.array(list(group))
        cells = np.array(list(group.values()))
        cells -= cells.min(axis=0)
        height, width = cells.max(axis=0) + 1
        best, best_cost = None, np.inf
        for top in range(rows - height + 1):
            for left in range(columns - width + 1):
                y, x = cells[:, 0] + top, cells[:, 1] + left
                if (layout[y, x] >= 0).any():
                    continue
                tried = layout.copy()
                tried[y, x] = blocks
                cost = _mean_border(tried, borders)
                if best is None or cost < best_cost:
                    best, best_cost = tried, cost
        if best is None:
            left_over += group
        else:
            layout = best
    layout[layout < 0] = left_over
    return layout


def _mean_border(layout: np.ndarray, borders: Borders) -> float:
    across = (layout[:, :-1] >= 0) & (layout[:, 1:] >= 0)
    down = (layout[:-1] >= 0) & (layout[1:] >= 0)
    total = borders.right[layout[:, :-1][across], layout[:, 1:][across]].sum()
    total += borders.below[layout[:-1][down], layout[1:][down]].sum()
    return float(total / max(1, across.sum() + down.sum()))


def _linear_program(borders: Borders, rows: int, columns: int) -> np.ndarray:
    """Give blocks coordinates by the best pairs, leave out the pairs that contradict them, and again."""
    count = rows * columns
    pairs, weights, down = [], [], []
    for distances, is_down in ((borders.right, False), (borders.below, True)):
        sure = _sureness(distances)
        every = np.arange(count)
        best = np.concatenate(
            [np.stack([every, distances.argmin(axis=1)], 1), np.stack([distances.argmin(axis=0), every], 1)]
        )
        best = np.unique(best, axis=0)
        pairs.append(best)
        weights.append(np.clip(sure[best[:, 0], best[:, 1]] - 1, 1e-3, _LARGEST_WEIGHT))
        down.append(np.full(len(best), is_down))
    joined, weight, is_below = np.concatenate(pairs), np.concatenate(weights), np.concatenate(down)
    kept = np.ones(len(joined), bool)
    for _ in range(_ROUNDS):
        coordinates = [
            _coordinates(joined[kept], wanted[kept], weight[kept], count, size)
            for wanted, size in ((is_below.astype(float), rows), ((~is_below).astype(float), columns))
        ]
        misses = [
            np.abs(values[joined[:, 1]] - values[joined[:, 0]] - wanted)
            for values, wanted in zip(coordinates, (is_below, ~is_below), strict=True)
        ]
        contradicted = np.maximum(*misses) > 0.5
        if not (kept & contradicted).any():
            break
        kept &= ~contradicted
    return _to_cells(np.stack(coordinates, axis=1), rows, columns)


def _coordinates(pairs: np.ndarray, wanted: np.ndarray, weight: np.ndarray, count: int, size: int) -> np.ndarray:
    """Minimise the weighted sum of |x_j - x_i - wanted| over the pairs, with 0 <= x < size."""
    number = len(pairs)
    each, one = np.arange(number), np.ones(number)
    rows = np.concatenate([each, each, each, number + each, number + each, number + each])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0], count + each] * 2)
    entries = np.concatenate([one, -one, -one, -one, one, -one])
    solved = linprog(
        np.concatenate([np.zeros(count), weight]),
        A_ub=csr_matrix((entries, (rows, columns)), (2 * number, count + number)),
        b_ub=np.concatenate([wanted, -wanted]),
        bounds=[(0, size - 1)] * count + [(0, None)] * number,
        method="highs",
    )
    return solved.x[:count]


def _to_cells(coordinates: np.ndarray, rows: int, columns: int) -> np.ndarray:
    cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    cost = ((coordinates[:, None] - cells[None]) ** 2).sum(axis=-1)
    blocks, places = linear_sum_assignment(cost)
    layout = np.empty(rows * columns, int)
    layout[places] = blocks
    return layout.reshape(rows, columns)


def _shift(layout: np.ndarray, borders: Borders) -> np.ndarray:
    """Choose the cyclic shift of the whole layout with the best borders."""
    shifted = (np.roll(layout, (y, x), (0, 1)) for y in range(layout.shape[0]) for x in range(layout.shape[1]))
    return min(shifted, key=borders.cost)


def _swap(layout: np.ndarray, borders: Borders, home: float = 0.0, rounds: int = 400) -> np.ndarray:
    """Exchange pairs of blocks for as long as that betters the borders; a block as it was sent earns `home`."""
    layout = layout.copy()
    count = layout.size
    sent = np.arange(count).reshape(layout.shape)
    upper = np.triu(np.ones((count, count), bool), 1)

    def cost_of(tried: np.ndarray) -> float:
        return borders.cost(tried) - home * float((tried == sent).sum())

    cost = cost_of(layout)
    for _ in range(rounds):
        of_block_in_cell = np.zeros((count, *layout.shape))
        of_block_in_cell[:, :, :-1] += borders.right[:, layout[:, 1:]]
        of_block_in_cell[:, :, 1:] += borders.right[layout[:, :-1]].transpose(2, 0, 1)
        of_block_in_cell[:, :-1] += borders.below[:, layout[1:]]
        of_block_in_cell[:, 1:] += borders.below[layout[:-1]].transpose(2, 0, 1)
        of_block_in_cell = of_block_in_cell.reshape(count, count) - home * np.eye(count)
        moved = of_block_in_cell[layout.ravel()]
        own = np.diag(moved)
        gain = np.where(upper, moved + moved.T - own[:, None] - own[None], 0)
        # The gains of neighbours are off by their common border, so the best are tried.
        for flat in np.argsort(gain, axis=None)[:30]:
            one, other = divmod(int(flat), count)
            tried = layout.copy()
            tried.flat[[one, other]] = tried.flat[[other, one]]
            if gain[one, other] < -1e-9 and cost_of(tried) < cost - 1e-9:
                layout, cost = tried, cost_of(tried)
                break
        else:
            break
    return layout
