"""An order of values of its own for every block: what moves, which keys decide it, and how many there are."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import decrypt, encrypt, key_space_bits, permutations, schemes
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import BlockwisePixelPermutation, PixelPermutation
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=5, block_size=3, channels=2)
KEY = prng.wrap_key(jnp.array([5, 6], jnp.uint32), "threefry2x32")


@pytest.mark.parametrize("fixed", [0, 12])
def test_law(fixed):
    step, blocks = BlockwisePixelPermutation(fixed), np.arange(5 * 18, dtype=np.int32).reshape(5, 18)
    drawn = np.asarray(step.sample(KEY, SHAPE))
    for row, block_key in zip(drawn, jax.random.split(KEY, 5), strict=True):
        np.testing.assert_array_equal(row, permutations.sample(block_key, 18, fixed))
        assert sum(row == np.arange(18)) >= fixed
    assert len({row.tobytes() for row in drawn}) == 5
    encrypted = step.apply(drawn, jnp.array(blocks), SHAPE)
    for before, after, row in zip(blocks, encrypted, drawn, strict=True):
        np.testing.assert_array_equal(after, [before[i] for i in row])
    np.testing.assert_array_equal(step.invert(drawn, encrypted, SHAPE), blocks)
    assert step.count(SHAPE) == PixelPermutation(fixed).count(SHAPE) ** 5


def test_key_space():
    by_image, by_block = (
        key_space_bits(schemes.disposable(16, fixed_blocks=196, pixel_order=order), (224, 224, 3))["transform"]
        for order in ("image", "block")
    )
    assert by_block == pytest.approx(196 * by_image)
    assert by_block == pytest.approx(196 * math.lgamma(769) / math.log(2))


def test_disposable_by_block():
    scheme = schemes.disposable(4, fixed_blocks=2, fixed_pixels=12, pixel_order="block")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    image_keys = jax.random.split(KEY, 3)
    encrypted = np.asarray(encrypt(scheme, image_keys, images))
    np.testing.assert_array_equal(decrypt(scheme, image_keys, encrypted), images)
    by_image = np.asarray(encrypt(schemes.disposable(4, fixed_blocks=2, fixed_pixels=12), image_keys, images))
    assert (encrypted != by_image).mean() > 0.5
    # The blocks are at the same places in both.
    for ours, theirs in zip(encrypted, by_image, strict=True):
        blocks = [image.reshape(2, 4, 3, 4, 3).transpose(0, 2, 1, 3, 4).reshape(6, 48) for image in (ours, theirs)]
        np.testing.assert_array_equal(*(np.sort(each, axis=1) for each in blocks))


def test_names_and_parameters():
    assert schemes.parameters_of(schemes.disposable(4)) == {"block_size": 4, "fixed_blocks": 0, "fixed_pixels": 0}
    scheme = schemes.disposable(4, fixed_pixels=3, pixel_order="block")
    parameters = {"block_size": 4, "fixed_blocks": 0, "fixed_pixels": 3, "pixel_order": "block"}
    assert schemes.parameters_of(scheme) == parameters
    assert schemes.by_name("disposable", **parameters) == scheme
    made_by_hand = schemes.Scheme("disposable", 4, scheme.transforms)
    assert schemes.parameters_of(made_by_hand) == parameters
    with pytest.raises(ArgumentError, match='pixel_order must be "image" or "block", got \'blocks\''):
        schemes.disposable(4, pixel_order="blocks")
    with pytest.raises(ArgumentError, match="fixed_pixels=49 is more than the 48 values"):
        schemes.disposable(4, fixed_pixels=49, pixel_order="block").check((8, 8, 3))
