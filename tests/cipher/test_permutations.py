"""Restricted random permutations: the rule by which words become one, their statistics, and how many there are."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy.stats import chisquare

from dkjax import prng
from dkjax.cipher import permutations


def keys_of(seed: int, count: int, name: str = "threefry2x32") -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, (count, prng.key_words(name)), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), name)


def order_of(words: np.ndarray) -> np.ndarray:
    """The order that words `[R, n]` give: by all bits but the low ones of the last word, then by position."""
    n = words.shape[1]
    words = np.stack([*words[:-1], words[-1] >> max(n - 1, 1).bit_length()])
    return np.array(sorted(range(n), key=lambda position: (*words[:, position].tolist(), position)))


def permutation_of(words: np.ndarray, fixed: int) -> np.ndarray:
    """The permutation that words give: the first `fixed` of the order stay, the others fill what is left in turn."""
    order = order_of(words).tolist()
    n = len(order)
    left, moved = set(order[fixed:]), iter(order[fixed:])
    return np.array([next(moved) if position in left else position for position in range(n)])


TIES = ("never", "sometimes", "in the first word", "in the last word", "in every word")


def words_of(n: int, count: int, tie: str, seed: int = 0) -> np.ndarray:
    """Random words `[count, n]` whose random bits tie."""
    words = np.random.default_rng([n, seed]).integers(0, 2**32, (count, n), dtype=np.uint32)
    match tie:
        case "sometimes":
            words &= np.uint32(0xC0000000)
        case "in the first word":
            words[0] = words[0, 0]
        case "in the last word":
            words[-1] = words[-1, 0]
        case "in every word":
            words[:-1] = words[:-1, :1]
            words[-1] &= np.uint32((1 << max(n - 1, 1).bit_length()) - 1)
    return words


# The rule


@pytest.mark.parametrize("n", [1, 2, 3, 17, 196])
def test_permutation_with_enough_fixed_points(n):
    counts = sorted({fixed for fixed in (0, 1, n // 2, n - 2, n - 1, n) if fixed >= 0})
    draw = jax.jit(jax.vmap(lambda key: [permutations.sample(key, n, fixed) for fixed in counts]))
    for fixed, drawn in zip(counts, draw(keys_of(0, 50)), strict=True):
        assert drawn.dtype == np.int32
        np.testing.assert_array_equal(np.sort(drawn, axis=1), np.broadcast_to(np.arange(n), (50, n)))
        stayed = (np.asarray(drawn) == np.arange(n)).sum(axis=1)
        assert stayed.min() >= fixed
        # n - 1 cannot stay alone; that fewer than n - 1 do, some key of the fifty shows.
        assert stayed.min() < n or fixed >= n - 1


@pytest.mark.parametrize("n", [2, 5, 16, 40, 4096])
@pytest.mark.parametrize("tie", TIES)
def test_rule_given_the_words(n, tie, monkeypatch):
    words = words_of(n, permutations.words_for(n), tie)
    monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: jnp.array(words).reshape(shape))
    np.testing.assert_array_equal(permutations._random_order(None, n), order_of(words))
    for fixed in {0, n // 3}:
        expected = permutation_of(words, fixed) if fixed < n - 1 else np.arange(n)
        np.testing.assert_array_equal(permutations.sample(None, n, fixed), expected)
    if tie == "in every word":
        np.testing.assert_array_equal(order_of(words), np.arange(n))


@pytest.mark.parametrize("n", [2, 40, 768])
@pytest.mark.parametrize("tie", TIES)
def test_sorts_of_every_backend_agree(n, tie):
    pairs = np.stack([words_of(n, 2, tie, seed) for seed in range(4)])
    pairs[:, 1] = (pairs[:, 1] & ~np.uint32(1023)) | np.arange(n, dtype=np.uint32)
    expected = np.stack([low[np.lexsort((low, high))] for high, low in pairs])
    for sort in (permutations._sort, permutations._sort_pairs):
        batched = jax.jit(jax.vmap(jax.jit(sort)))(pairs[:, 0], pairs[:, 1])
        assert batched.dtype == np.uint32
        np.testing.assert_array_equal(batched, expected)
        np.testing.assert_array_equal(sort(*jnp.array(pairs[0])), expected[0])


def test_a_divided_batch_is_drawn_without_a_collective():
    shard = NamedSharding(jax.make_mesh((4,), "i", axis_types=(AxisType.Auto,)), PartitionSpec("i"))
    keys = jax.device_put(keys_of(5, 8), shard)
    text = jax.jit(jax.vmap(lambda key: permutations.sample(key, 40, 10))).lower(keys).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))


@pytest.mark.parametrize("name", prng.NAMES)
def test_vmap_equals_loop(name):
    keys = keys_of(1, 3, name)
    draw = functools.partial(permutations.sample, n=24, fixed=6)
    batch = jax.jit(jax.vmap(draw))(keys)
    np.testing.assert_array_equal(batch, np.stack([draw(key) for key in keys]))
    words = np.stack([jax.random.bits(key, (permutations.words_for(24), 24), jnp.uint32) for key in keys])
    np.testing.assert_array_equal(batch, np.stack([permutation_of(word, 6) for word in words]))


@pytest.mark.parametrize("n", [1, 2, 30])
def test_invert(n):
    permutation = np.random.default_rng(n).permutation(n).astype(np.int32)
    inverse = permutations.invert(jnp.array(permutation))
    assert inverse.dtype == np.int32
    np.testing.assert_array_equal(inverse, np.argsort(permutation))
    for first, then in ((permutation, inverse), (inverse, permutation)):
        np.testing.assert_array_equal(permutations.compose(jnp.array(first), jnp.array(then)), np.arange(n))


def test_compose():
    rng = np.random.default_rng(2)
    x, first, then = (rng.permutation(30).astype(np.int32) for _ in range(3))
    np.testing.assert_array_equal(
        x[np.asarray(permutations.compose(jnp.array(first), jnp.array(then)))], x[first][then]
    )


# Statistics. The seeds are fixed, so that what passes once passes always.

SAMPLES = 24_000
ALL_OF_FOUR = list(itertools.permutations(range(4)))


def share_of(permutation: tuple[int, ...], fixed: int) -> float:
    """The probability of a permutation: `fixed` positions drawn uniformly stay, the others are permuted uniformly."""
    n = len(permutation)
    stayed = sum(value == position for position, value in enumerate(permutation))
    return math.comb(stayed, fixed) / (math.comb(n, fixed) * math.factorial(n - fixed))


def looks_uniform(drawn: np.ndarray, fixed: int) -> bool:
    """Whether permutations of four come as often as they should, by a chi-square test over all that can come."""
    seen = np.array([(drawn == permutation).all(axis=1).sum() for permutation in ALL_OF_FOUR])
    expected = np.array([share_of(permutation, fixed) for permutation in ALL_OF_FOUR]) * len(drawn)
    possible = expected > 0
    return not seen[~possible].any() and bool(chisquare(seen[possible], expected[possible]).pvalue > 1e-3)


def draw_many(fixed: int, name: str = "threefry2x32", sample=permutations.sample) -> np.ndarray:
    # A new function each time: the cache of `jit` knows nothing of what a test replaces inside.
    return np.asarray(jax.jit(jax.vmap(lambda key: sample(key, 4, fixed)))(keys_of(3, SAMPLES, name)))


@pytest.mark.parametrize(
    ("fixed", "name"), [(0, "chacha20"), (0, "threefry2x32"), (1, "chacha20"), (2, "threefry2x32")]
)
def test_uniform(fixed, name):
    assert looks_uniform(draw_many(fixed, name), fixed)


@pytest.mark.parametrize("fixed", [1, 2])
def test_uniform_rejects_positions_that_are_not_drawn(fixed):
    def first_ones_stay(key, n, fixed):
        return jnp.concatenate([jnp.arange(fixed), fixed + jax.random.permutation(key, n - fixed)])

    assert not looks_uniform(draw_many(fixed, sample=first_ones_stay), fixed)


@pytest.mark.parametrize("fixed", [0, 1])
@pytest.mark.parametrize(("words", "uniform"), [(1, False), (8, True)])
def test_uniform_rejects_ties_and_more_words_mend_them(words, uniform, fixed, monkeypatch):
    """Words of four random bits: one keeps the order of one pair in sixteen, eight of none."""
    bits = jax.random.bits
    monkeypatch.setattr(jax.random, "bits", lambda *args: bits(*args) & jnp.uint32(0xF0000000))
    monkeypatch.setattr(permutations, "words_for", lambda n: words)
    assert looks_uniform(draw_many(fixed), fixed) is uniform


def test_every_position_is_reached_from_every_position():
    n = 24
    assert permutations.words_for(n) == 2
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: permutations.sample(key, n)))(keys_of(4, 8000)))
    seen = np.stack([(drawn == value).sum(axis=0) for value in range(n)])
    # Rows and columns of the table have given sums, and so it has (n - 1)^2 degrees of freedom.
    assert chisquare(seen.ravel(), ddof=2 * n - 2).pvalue > 1e-3
    kept_order = (drawn[:, :-1] < drawn[:, 1:]).mean(axis=0)
    assert np.abs(kept_order - 0.5).max() < 5 * 0.5 / math.sqrt(len(drawn))


# Bias


def test_fewest_words_that_keep_the_bias_below_a_millionth():
    for n in range(1, 4097):
        words = permutations.words_for(n)
        assert permutations.bias_log2(n, words) < -20
        assert words == 1 or permutations.bias_log2(n, words - 1) >= -20
    assert [permutations.words_for(n) for n in (22, 23, 196, 768, 32768, 32769)] == [1, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(("n", "bits", "words"), [(2, 1, 1), (2, 2, 3), (3, 2, 1), (3, 2, 2), (4, 3, 1)])
def test_bias_bound_where_all_words_can_be_counted(n, bits, words):
    every = np.array(list(itertools.product(range(1 << bits), repeat=words * n)), np.uint32).reshape(-1, words, n)
    order = np.lexsort(np.moveaxis(every, 1, 0)[::-1])  # stable, so ties are left to the position
    seen = np.unique(order, axis=0, return_counts=True)[1] / len(every)
    total_variation = np.abs(seen - 1 / math.factorial(n)).sum() / 2
    assert len(seen) == math.factorial(n)
    assert 0 < total_variation <= n**2 * 2.0 ** (-words * bits - 2)


def test_bias_is_the_stated_bound():
    # 20 positions take 5 bits of three words and leave 91 random ones.
    assert permutations.bias_log2(20, 3) == pytest.approx(math.log2(20**2 * 2.0 ** (-91 - 2)))


# Counting


@pytest.mark.parametrize("n", range(1, 8))
def test_count_by_brute_force(n):
    stayed = (np.array(list(itertools.permutations(range(n)))) == np.arange(n)).sum(axis=1)
    assert [permutations.count(n, fixed) for fixed in range(n + 1)] == [(stayed >= f).sum() for f in range(n + 1)]


def test_count_of_all_is_the_factorial():
    assert permutations.count(196) == math.factorial(196)
    assert permutations.count(196, 195) == permutations.count(196, 196) == 1


@pytest.mark.parametrize(("fixed_blocks", "fixed_pixels", "bits"), [(0, 0, 7474), (120, 500, 3044), (147, 576, 2163)])
def test_bits_at_the_size_of_the_paper(fixed_blocks, fixed_pixels, bits):
    blocks, pixels = permutations.count(196, fixed_blocks), permutations.count(768, fixed_pixels)
    assert round(math.log2(blocks) + math.log2(pixels)) == bits
