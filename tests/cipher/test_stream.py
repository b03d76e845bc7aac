"""Encrypting a stream of batches."""

import gc
import weakref

import jax
import numpy as np
import pytest

import dkjax
from dkjax import schemes
from dkjax.cipher import encryption
from dkjax.errors import ArgumentError

SCHEME = schemes.disposable(4, fixed_pixels=5)
IMAGES = np.random.default_rng(3).integers(0, 256, (6, 8, 12, 1), np.uint8)


def keys():
    return jax.random.split(jax.random.key(1), len(IMAGES))


def test_equals_one_call():
    pairs = [(keys()[first : first + 2], IMAGES[first : first + 2]) for first in range(0, 6, 2)]
    batches = list(dkjax.encrypt_stream(SCHEME, pairs))
    assert all(isinstance(batch, np.ndarray) for batch in batches)
    np.testing.assert_array_equal(np.concatenate(batches), dkjax.encrypt(SCHEME, keys(), IMAGES))


def test_nothing_in_nothing_out():
    assert list(dkjax.encrypt_stream(SCHEME, [])) == []


def test_holds_two_batches():
    made = []

    class Images(np.ndarray):
        """NumPy arrays cannot be referenced weakly; these can."""

    def endless():
        while True:
            images = IMAGES[:2].copy().view(Images)
            made.append(weakref.ref(images))
            yield keys()[:2], images

    stream = dkjax.encrypt_stream(SCHEME, endless())
    for _ in range(20):
        next(stream)
        gc.collect()
        assert sum(images() is not None for images in made) <= 2


def test_a_wrong_batch_stops_the_stream_after_the_right_ones():
    stream = dkjax.encrypt_stream(SCHEME, [(keys()[:2], IMAGES[:2]), (keys()[:3], IMAGES[:3, :7])])
    with pytest.raises(ArgumentError, match="does not divide height=7"):
        list(stream)


def test_images_from_the_host_give_their_device_memory_to_the_result():
    """On accelerators the copy that `encrypt` makes is donated; the program for it says so."""
    program = encryption._run_donating.lower(SCHEME, keys(), IMAGES, False).as_text()
    assert "tf.aliasing_output" in program or "jax.buffer_donor" in program
    kept = encryption._run.lower(SCHEME, keys(), IMAGES, False).as_text()
    assert "tf.aliasing_output" not in kept and "jax.buffer_donor" not in kept
