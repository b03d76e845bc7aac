"""The baselines do the whole job: two permutations, an own pair for each image or one pair for all."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from dkjax.bench import baselines, copies

BLOCK_SIZE = 4
SHAPE = (3, 8, 12, 3)
NUM_BLOCKS, BLOCK_VALUES = 6, 48
IMAGES = np.arange(np.prod(SHAPE)).astype(np.uint16).reshape(SHAPE)


def by_numpy(shared: bool, images: np.ndarray) -> np.ndarray:
    words = np.random.default_rng(0).integers(0, 2**32, (1 if shared else len(images), 8), dtype=np.uint32)
    return baselines.numpy_loop(words, images, BLOCK_SIZE)


def by_jax(shared: bool, images: np.ndarray) -> np.ndarray:
    key = jax.random.key(0)
    keys = key if shared else jax.random.split(key, len(images))
    return np.asarray(baselines.plain_jax(keys, images, BLOCK_SIZE))


def by_torch(shared: bool, images: np.ndarray) -> np.ndarray:
    run = baselines.torch_gather(BLOCK_SIZE, shared=shared)
    # PyTorch moves no 16-bit words without a sign by index.
    return run(0, baselines.torch_images(images.view(np.int16))).numpy().view(np.uint16)


BASELINES = [by_numpy, by_jax, pytest.param(by_torch, marks=pytest.mark.torch)]


def cut(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    tops, lefts = range(0, height, BLOCK_SIZE), range(0, width, BLOCK_SIZE)
    return np.array([image[t : t + BLOCK_SIZE, x : x + BLOCK_SIZE].reshape(-1) for t in tops for x in lefts])


def permutations(plain: np.ndarray, encrypted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the two permutations off an image whose values are consecutive numbers."""
    plain, encrypted = cut(plain).astype(int), cut(encrypted).astype(int)
    place = {value: position for position, value in np.ndenumerate(plain)}
    places = np.array([[place[value] for value in block] for block in encrypted])
    blocks, pixels = places[:, 0, 0], places[0, :, 1]
    np.testing.assert_array_equal(encrypted, plain[blocks][:, pixels])
    return blocks, pixels


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("shared", [False, True])
def test_both_permutations_are_drawn(baseline: Callable[..., Any], shared: bool) -> None:
    encrypted = baseline(shared, IMAGES)
    assert (encrypted.shape, encrypted.dtype) == (IMAGES.shape, IMAGES.dtype)
    drawn = [permutations(*pair) for pair in zip(IMAGES, encrypted, strict=True)]
    for blocks, pixels in drawn:
        assert sorted(blocks) == list(range(NUM_BLOCKS))
        assert sorted(pixels) == list(range(BLOCK_VALUES))
        assert (pixels != np.arange(BLOCK_VALUES)).sum() > BLOCK_VALUES / 2
    assert len({tuple(pixels) for _, pixels in drawn}) == (1 if shared else len(IMAGES))


def test_without_torch_there_is_no_torch_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert baselines.torch_gather(BLOCK_SIZE, shared=False) is None


def test_copies_copy() -> None:
    images = jax.numpy.asarray(IMAGES)
    copy = copies.device_copy(images)(0)
    np.testing.assert_array_equal(copy, IMAGES)
    assert copy.unsafe_buffer_pointer() != images.unsafe_buffer_pointer()
    # What the host's copy writes to is kept by the function alone.
    run = copies.host_copy(IMAGES)
    run(0)
    kept = [cell.cell_contents for cell in run.__closure__ or () if cell.cell_contents is not IMAGES]
    np.testing.assert_array_equal(kept, [IMAGES])
