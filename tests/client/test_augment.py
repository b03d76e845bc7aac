"""What a client may do to its images before it encrypts them."""

import numpy as np
import pytest

from dkjax.client.augment import augment
from dkjax.client.rand_augment import rand_augment
from dkjax.errors import ArgumentError


def records(n: int = 40, height: int = 6, width: int = 9):
    random = np.random.default_rng(0)
    return {
        "image": random.integers(0, 256, (n, height, width, 3), np.uint8),
        "label": random.integers(0, 5, n).astype(np.int32),
    }


def test_nothing_asked_nothing_done():
    plain = records()
    changed = augment(plain, np.random.default_rng(1), flip=False, crop=0, rand_augment=None)
    np.testing.assert_array_equal(changed["image"], plain["image"])
    np.testing.assert_array_equal(changed["label"], plain["label"])


def test_flip_mirrors_about_half():
    plain = records(400)
    changed = augment(plain, np.random.default_rng(1), flip=True, crop=0)["image"]
    mirrored = [np.array_equal(one, other[:, ::-1]) for one, other in zip(changed, plain["image"], strict=True)]
    same = [np.array_equal(one, other) for one, other in zip(changed, plain["image"], strict=True)]
    assert np.logical_xor(mirrored, same).all()
    assert 150 < sum(mirrored) < 250


@pytest.mark.parametrize("crop", [1, 3])
def test_shifts_by_at_most_crop(crop):
    plain = records(300)
    changed = augment(plain, np.random.default_rng(1), flip=False, crop=crop)["image"]
    assert changed.shape == plain["image"].shape
    shifts = set()
    for one, other in zip(changed, plain["image"], strict=True):
        padded = np.pad(other, ((crop, crop), (crop, crop), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, one.shape).squeeze(2)
        found = np.argwhere((windows == one).all((2, 3, 4)))
        assert len(found)
        shifts.add(tuple(found[0]))
    assert len(shifts) == (2 * crop + 1) ** 2


def test_rand_augment_comes_last():
    plain = records(50)
    before = plain["image"].copy()
    random, again = np.random.default_rng(1), np.random.default_rng(1)
    changed = augment(plain, random, flip=True, crop=2, rand_augment=(2, 9))
    moved = augment(plain, again, flip=True, crop=2)
    np.testing.assert_array_equal(changed["image"], rand_augment(moved["image"], again, 2, 9))
    np.testing.assert_array_equal(changed["label"], plain["label"])
    assert not np.array_equal(changed["image"], moved["image"])
    np.testing.assert_array_equal(plain["image"], before)


def test_rand_augment_takes_grey_or_rgb():
    four = {**records(3), "image": np.zeros((3, 6, 9, 4), np.uint8)}
    with pytest.raises(ArgumentError, match="got 4"):
        augment(four, np.random.default_rng(1), flip=False, crop=0, rand_augment=(2, 9))


def test_no_images():
    empty = augment(records(0), np.random.default_rng(1), flip=True, crop=2, rand_augment=(2, 9))
    assert empty["image"].shape == (0, 6, 9, 3)
