"""Brute force: seeds of 32 bits are found, in a range of them."""

import jax
import numpy as np
import pytest

from dkjax import schemes
from dkjax.attacks.brute_force import find_seed
from dkjax.cipher import Scheme
from dkjax.errors import ArgumentError

SHAPE, SEED = (32, 32, 3), 300_000


def permutation_of(scheme: Scheme, seed: int) -> np.ndarray:
    return np.asarray(scheme.sample(jax.random.key(seed, impl="threefry2x32"), SHAPE)[0])


@pytest.mark.parametrize("fixed", [0, 32])
def test_a_seed_is_found(fixed: int) -> None:
    scheme = schemes.disposable(block_size=4, fixed_blocks=fixed)
    done: list[tuple[int, int]] = []
    seeds = range(SEED - 1000, SEED + 1000)
    found = find_seed(permutation_of(scheme, SEED), scheme, SHAPE, seeds, lambda *progress: done.append(progress))
    assert found == SEED


def test_no_seed_no_find() -> None:
    scheme = schemes.disposable(block_size=4)
    done: list[tuple[int, int]] = []
    permutation = permutation_of(scheme, SEED)
    assert find_seed(permutation, scheme, SHAPE, range(1000), lambda *progress: done.append(progress)) is None
    assert done == [(1000, 1000)]


def test_what_cannot_be_searched() -> None:
    with pytest.raises(ArgumentError, match="follows block scrambling"):
        find_seed(np.arange(64), schemes.pe(), SHAPE, range(10))
    with pytest.raises(ArgumentError, match="0 blocks moved"):
        find_seed(np.arange(64), schemes.disposable(block_size=4, fixed_blocks=64), SHAPE, range(10))
