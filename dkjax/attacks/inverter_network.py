"""The network of the learned inverter: which values are where they belong, and what to show where others are.

It has few parameters, since what is to be learned is known in kind: how far a value is from its surroundings, how far
that position of the block is from its surroundings in all other blocks of the image, how the borders of a block fit.
From these it learns to trust values and blocks, fills in the others by averages of what it trusts, near and far, and
learns what to take where. Where nothing can be trusted, averages from far away are left: a picture of one colour.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.models.reading import Reading, patches_of, sort_patches

Params = dict[str, Any]

_ROUNDS = 2
"""How often values are compared with a picture of those that are trusted."""
_BELIEFS = 6
"""How often a block hears from its four neighbours."""
_FINEST = 0.7
_COARSEST = 0.25
_SMALL = 1e-3


class Restored(NamedTuple):
    """What the network makes of encrypted images.

    Attributes:
        picture: float32[n, H, W, C], of values between those of the images and the prior.
        seen: float32[n, H, W, C], the images as the reading shows them.
        trusted: float32[n, H, W, C], from 0 to 1, how far each value of `seen` is taken to be where it belongs.
    """

    picture: jax.Array
    seen: jax.Array
    trusted: jax.Array


def init(key: jax.Array, image_shape: tuple[int, ...]) -> Params:
    """Draw parameters for images `(H, W, C)`.

    They begin with a guess, so that little is left to be learned: trusted is what is close to its surroundings, and
    shown as it is; blocks belong together whose borders fit; the rest is filled in from what is near.
    """
    keys = jax.random.split(key, _ROUNDS + 2)
    candidates = 5 + len(_scales(image_shape))
    values, border = np.zeros((4, 1)), np.zeros((2, 2))
    values[:, 0] = -1.5, 0.5, 0.0, -1.5
    border[1] = -4.0, 0.0
    choice = np.zeros((candidates + 4, candidates))
    choice[candidates, 0] = 8.0
    favoured = np.full(candidates, -4.0)
    favoured[1] = 0.0
    return {
        "values": [_mlp(keys[number], (4, 16, 1), values, np.zeros(1)) for number in range(_ROUNDS)],
        "border": _mlp(keys[-2], (2, 8, 2), border, np.array([3.0, 0.0])),
        "block": jnp.zeros(()),
        "choice": _mlp(keys[-1], (candidates + 4, 16, candidates), choice, favoured),
    }


def restore(params: Params, images: jax.Array, prior: jax.Array, block_size: int, reading: Reading) -> Restored:
    """Make pictures of encrypted images.

    Args:
        params: as `init` returned, or learned.
        images: float32[n, H, W, C] from 0 to 1, encrypted.
        prior: float32[H, W, C], the mean of public images.
        block_size: the side `M` of a block.
        reading: what the network sees of the values of a block.

    Returns:
        Pictures, and what they were made from.
    """
    n, height, width, channels = images.shape
    grid = height // block_size, width // block_size
    seen = images.transpose(0, 3, 1, 2)
    if reading == "sorted":
        values = sort_patches(patches_of(images, block_size))
        mean = values.mean(axis=1).reshape(n, 1, *grid)
        seen = jnp.broadcast_to(_spread(mean, block_size), seen.shape)
        profile = values.reshape(n, *grid, -1)
        trusted = jnp.ones_like(seen)
        base = seen
    else:
        profile = None
        base = _median(seen)
        for layer in params["values"]:
            trusted = jax.nn.sigmoid(_apply(layer, _value_features(seen, base, block_size, reading))[..., 0])
            (base,) = _averages(seen, trusted, (_FINEST,))[0]
    scales = _scales((height, width, channels))
    across, down = _border_features(seen, trusted, profile, block_size)
    belief = _beliefs(params, across, down)
    trusted = trusted * _spread(belief[:, None], block_size)
    averages, shares = _averages(seen, trusted, scales)
    finest = averages[0]
    # What one channel lost the others may have: detail is much the same in all.
    weight = trusted / (trusted.sum(axis=1, keepdims=True) + 0.1)
    detail = (weight * (seen - finest)).sum(axis=1, keepdims=True)
    overall = jnp.broadcast_to(seen.mean(axis=(2, 3), keepdims=True), seen.shape)
    known = prior.transpose(2, 0, 1)[None] - prior.mean(axis=(0, 1))[None, :, None, None]
    candidates = [seen, finest + detail, _median(seen), *averages, overall, overall + known]
    features = [
        *(8 * (candidate - averages[1]) for candidate in candidates),
        trusted,
        *(jnp.log(shares[number] + _SMALL) for number in (0, len(scales) // 2)),
        jnp.broadcast_to(_spread(belief[:, None], block_size), seen.shape),
    ]
    chosen = jax.nn.softmax(_apply(params["choice"], jnp.stack(features, axis=-1)))
    made = (chosen * jnp.stack(candidates, axis=-1)).sum(axis=-1)
    return Restored(*(each.transpose(0, 2, 3, 1) for each in (made, seen, trusted)))


def _scales(image_shape: tuple[int, ...]) -> tuple[float, ...]:
    """Standard deviations in pixels, doubling from less than a pixel to a quarter of the image."""
    count = max(3, math.ceil(math.log2(_COARSEST * min(image_shape[:2]) / _FINEST)))
    return tuple(_FINEST * 2**number for number in range(count))


def _value_features(seen: jax.Array, base: jax.Array, side: int, reading: Reading) -> jax.Array:
    """How far each value is from its surroundings, beside others; `[n, C, H, W, 4]`."""
    off = jnp.abs(seen - base)
    around = _blur(off, 2.0)
    others = (off.sum(axis=1, keepdims=True) - off) / max(1, off.shape[1] - 1)
    everywhere = off.mean(axis=(1, 2, 3), keepdims=True)
    if reading == "equivariant":
        n, channels, height, width = seen.shape
        blocks = off.reshape(n, channels, height // side, side, width // side, side)
        of_position = blocks.mean(axis=(2, 4), keepdims=True)
        position = jnp.broadcast_to(of_position, blocks.shape).reshape(off.shape)
    else:
        position = jnp.broadcast_to(everywhere, off.shape)
    logs = [jnp.log(each + 0.01) for each in (off, around, others, position)]
    level = jnp.log(everywhere + 0.01)
    return jnp.stack([each - level for each in logs], axis=-1)


def _border_features(
    seen: jax.Array, trusted: jax.Array, profile: jax.Array | None, side: int
) -> tuple[jax.Array, jax.Array]:
    """How badly neighbouring blocks fit: `[n, R, K - 1, 2]` and `[n, R - 1, K, 2]`."""
    if profile is not None:
        gaps = [jnp.abs(jnp.diff(profile, axis=axis)).mean(axis=-1) for axis in (2, 1)]
        insides = [jnp.ones_like(gap) * gaps[0].mean(axis=(1, 2), keepdims=True) for gap in gaps]
    else:
        gaps, insides = [], []
        for turn in (False, True):
            image, weight = (each.swapaxes(2, 3) if turn else each for each in (seen, trusted))
            n, channels, height, _ = image.shape
            # Differences of columns, weighted by what is trusted of both.
            both = weight[..., 1:] * weight[..., :-1]
            step = jnp.abs(jnp.diff(image, axis=3)) * both
            step, both = (
                jnp.pad(each, ((0, 0), (0, 0), (0, 0), (0, 1))).reshape(n, channels, height // side, side, -1, side)
                for each in (step, both)
            )
            border = step[..., -1].sum(axis=(1, 3)) / (both[..., -1].sum(axis=(1, 3)) + 0.1)
            inside = step[..., :-1].sum(axis=(1, 3, 5)) / (both[..., :-1].sum(axis=(1, 3, 5)) + 0.1)
            gap, usual = border[:, :, :-1], (inside[:, :, 1:] + inside[:, :, :-1]) / 2
            gaps.append(gap.swapaxes(1, 2) if turn else gap)
            insides.append(usual.swapaxes(1, 2) if turn else usual)
    across, down = (
        jnp.stack([jnp.log(gap + 0.01), jnp.log((gap + 0.01) / (inside + 0.01))], axis=-1)
        for gap, inside in zip(gaps, insides, strict=True)
    )
    return across, down


def _beliefs(params: Params, across: jax.Array, down: jax.Array) -> jax.Array:
    """How far each block is taken to be in its place, `[n, R, K]`: its neighbours that are, and how it fits them."""
    across, down = _apply(params["border"], across), _apply(params["border"], down)
    n, rows, columns = across.shape[0], across.shape[1], down.shape[2]

    def beside(belief: jax.Array, fit: jax.Array, axis: int) -> jax.Array:
        """What both blocks of each border hear through it, summed for each block."""
        count = belief.shape[axis]
        before = jax.lax.slice_in_dim(belief, 0, count - 1, axis=axis)
        after = jax.lax.slice_in_dim(belief, 1, count, axis=axis)
        heard = [fit[..., 0] * one + fit[..., 1] * (1 - one) for one in (after, before)]
        widths = [[(0, 0)] * 3 for _ in range(2)]
        widths[0][axis], widths[1][axis] = (0, 1), (1, 0)
        return jnp.pad(heard[0], widths[0]) + jnp.pad(heard[1], widths[1])

    def heard_once(belief: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jax.nn.sigmoid(params["block"] + beside(belief, across, 2) + beside(belief, down, 1)), None

    return jax.lax.scan(heard_once, jnp.full((n, rows, columns), 0.5), length=_BELIEFS)[0]


def _averages(seen: jax.Array, weight: jax.Array, scales: Sequence[float]) -> tuple[list[jax.Array], list[jax.Array]]:
    """Weighted averages over Gaussian surroundings, and the share of weight there; where it is small, of the next."""
    both = jnp.concatenate([seen * weight, weight])
    sums = [jnp.split(_blur(both, scale), 2) for scale in scales]
    last = (seen * weight).mean(axis=(2, 3), keepdims=True) + 0.01 * seen.mean(axis=(2, 3), keepdims=True)
    coarser = jnp.broadcast_to(last / (weight.mean(axis=(2, 3), keepdims=True) + 0.01), seen.shape)
    averages = []
    for total, share in reversed(sums):
        coarser = (total + 0.002 * coarser) / (share + 0.002)
        averages.append(coarser)
    return averages[::-1], [share for _, share in sums]


def _blur(planes: jax.Array, scale: float) -> jax.Array:
    """Blur `[n, C, H, W]` by a Gaussian: a product with a narrow matrix for each axis, which CPUs do fast."""
    down, across = (_gaussian(size, scale) for size in planes.shape[2:])
    for spread in down:
        planes = jnp.einsum("ij,ncjw->nciw", spread, planes)
    for spread in across:
        planes = jnp.einsum("nchj,ij->nchi", planes, spread)
    return planes


@functools.cache
def _gaussian(size: int, scale: float) -> tuple[np.ndarray, ...]:
    """Matrices whose product, last first, blurs a row of `size` values; coarse ones through fewer values."""
    places = np.arange(size)
    if scale < 2:
        return (_weights(places, places, scale),)
    # Two Gaussians, to values that are one standard deviation of theirs apart and back.
    half = scale / math.sqrt(2)
    few = np.linspace(0, size - 1, max(2, math.ceil(size / half)))
    return _weights(few, places, half), _weights(places, few, half)


def _weights(to: np.ndarray, of: np.ndarray, scale: float) -> np.ndarray:
    weights = np.exp(-((to[:, None] - of[None]) ** 2) / (2 * scale**2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _median(planes: jax.Array) -> jax.Array:
    """The median of 3 x 3 values of `[n, C, H, W]`, by exchanges (Paeth, "Median finding on a 3x3 grid", 1990)."""
    padded = jnp.pad(planes, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = planes.shape[2:]
    v = [padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    columns = [_sort3(*v[first::3]) for first in range(3)]
    low = functools.reduce(jnp.maximum, [column[0] for column in columns])
    middle = _sort3(*(column[1] for column in columns))[1]
    high = functools.reduce(jnp.minimum, [column[2] for column in columns])
    return _sort3(low, middle, high)[1]


def _sort3(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return jnp.minimum(low, c), jnp.maximum(low, jnp.minimum(high, c)), jnp.maximum(high, c)


def _spread(grid: jax.Array, side: int) -> jax.Array:
    """Every value of `[n, C, R, K]` over its block, `[n, C, R M, K M]`."""
    return jnp.repeat(jnp.repeat(grid, side, axis=2), side, axis=3)


def _mlp(key: jax.Array, widths: Sequence[int], linear: np.ndarray, bias: np.ndarray) -> Params:
    keys = jax.random.split(key, len(widths) - 1)
    layers = [
        {"kernel": jax.random.normal(each, (before, after)) / math.sqrt(before), "bias": jnp.zeros(after)}
        for each, before, after in zip(keys, widths, widths[1:], strict=False)
    ]
    layers[-1]["kernel"] = layers[-1]["kernel"] * 0.01
    layers[-1]["bias"] = jnp.asarray(bias, jnp.float32)
    return {"layers": layers, "linear": jnp.asarray(linear, jnp.float32)}


def _apply(mlp: Params, features: jax.Array) -> jax.Array:
    *hidden, last = mlp["layers"]
    given = flat = features.reshape(-1, features.shape[-1])
    for layer in hidden:
        flat = jax.nn.silu(flat @ layer["kernel"] + layer["bias"][None])
    flat = flat @ last["kernel"] + given @ mlp["linear"] + last["bias"][None]
    return flat.reshape(*features.shape[:-1], -1)
