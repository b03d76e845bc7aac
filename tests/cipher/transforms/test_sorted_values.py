"""Values in ascending order: the order itself, that it is all an unknown order leaves, and that nothing undoes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import decrypt, encrypt, key_space_bits, schemes
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import SortedValues
from dkjax.errors import ArgumentError

KEYS = prng.wrap_key(jnp.array([[5, 6], [7, 8], [9, 10]], jnp.uint32), "threefry2x32")


def images_of(high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (3, 8, 12, 3), dtype=np.uint8)


def blocks_of(images: np.ndarray) -> np.ndarray:
    return images.reshape(3, 2, 4, 3, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 6, 48)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "float32"])
def test_law(dtype):
    info = np.iinfo(dtype) if dtype != "float32" else None
    low, high = (info.min, info.max) if info else (-(2**20), 2**20)
    shape = BlockShape(num_blocks=7, block_size=3, channels=2)
    blocks = np.random.default_rng(1).integers(low, high, (7, 18), endpoint=True).astype(dtype)
    blocks[1], blocks[2], blocks[3, ::2] = low, high, low  # all alike, and many alike
    found = jax.jit(lambda each: SortedValues().apply((), each, shape))(jnp.array(blocks))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.sort(blocks, axis=1))
    assert SortedValues().count(shape) == 1


def by_luminance(pixels: list) -> list:
    return sorted(pixels, key=lambda rgb: (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2], *rgb))


def pixels_of(order_by: str) -> np.ndarray:
    """Pixels of the blocks, three times as many as there are colours, so that some are equal."""
    blocks = np.random.default_rng(2).integers(0, 3, (5, 27), dtype=np.uint8) * 100
    shape = BlockShape(num_blocks=5, block_size=3, channels=3)
    found = jax.jit(lambda each: SortedValues(order_by).apply((), each, shape))(jnp.array(blocks))
    return np.stack([blocks, found]).reshape(2, 5, 9, 3)


def test_by_channel():
    plain, found = pixels_of("channel")
    np.testing.assert_array_equal(found, np.sort(plain, axis=1))


def test_by_luminance():
    plain, found = pixels_of("luminance")
    assert found.tolist() == [by_luminance(pixels) for pixels in plain.tolist()]


@pytest.mark.parametrize("order_by", ["channel", "luminance"])
def test_no_order_of_pixels_is_left(order_by):
    scheme, images = schemes.sorted_blocks(4, order_by=order_by), images_of()
    order = np.random.default_rng(3).permutation(16)
    shuffled = blocks_of(images).reshape(3, 6, 16, 3)[:, :, order]
    moved = shuffled.reshape(3, 2, 3, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)
    assert (moved != images).mean() > 0.5
    found = np.asarray(encrypt(scheme, KEYS, images))
    np.testing.assert_array_equal(encrypt(scheme, KEYS, moved), found)
    assert not np.array_equal(found, encrypt(schemes.sorted_blocks(4), KEYS, images))
    # Sorted by value, nothing but the default's bytes is left.
    left = np.sort(blocks_of(found), axis=2)
    np.testing.assert_array_equal(left, blocks_of(np.asarray(encrypt(schemes.sorted_blocks(4), KEYS, images))))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order_by": "colour"}, "order_by must be one of value, channel, luminance, got 'colour'"),
        ({"levels": 1}, "levels must be a whole number from 2 to 256, got 1"),
        ({"levels": 16.0}, "levels must be a whole number from 2 to 256, got 16.0"),
        ({"epsilon": 0.001}, "epsilon must be 0 for no noise, or 0.01 to 20, got 0.001"),
        ({"epsilon": float("nan")}, "epsilon must be 0 for no noise, or 0.01 to 20, got nan"),
        ({"epsilon": "1"}, "epsilon must be a number, got '1'"),
        ({"epsilon": 1.0, "order_by": "channel"}, 'counts of all values of a block: set order_by="value"'),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(ArgumentError, match=message):
        schemes.sorted_blocks(4, **given)


def test_settings_are_written_where_they_are_not_the_default():
    assert schemes.parameters_of(schemes.sorted_blocks(4)) == {"block_size": 4, "fixed_blocks": 0}
    for own in ({"order_by": "channel"}, {"levels": 9}, {"levels": 9, "epsilon": 2.0}):
        scheme = schemes.sorted_blocks(4, **own)
        assert schemes.parameters_of(scheme) == {"block_size": 4, "fixed_blocks": 0, **own}
        bare = type(scheme)(scheme.name, 4, scheme.transforms)  # made past the registration
        assert schemes.parameters_of(bare) == schemes.parameters_of(scheme)


@pytest.mark.parametrize("high", [2, 256])
@pytest.mark.parametrize("fixed_blocks", [0, 3])
def test_what_is_left_of_an_own_order(high, fixed_blocks):
    images = images_of(high)
    by_block = schemes.disposable(4, fixed_blocks=fixed_blocks, pixel_order="block")
    left = np.sort(blocks_of(np.asarray(encrypt(by_block, KEYS, images))), axis=2)
    found = encrypt(schemes.sorted_blocks(4, fixed_blocks=fixed_blocks), KEYS, images)
    np.testing.assert_array_equal(blocks_of(np.asarray(found)), left)


def test_there_is_no_way_back():
    scheme = schemes.sorted_blocks(4)
    encrypted = encrypt(scheme, KEYS, images_of())
    with pytest.raises(ArgumentError, match="sorted blocks cannot be decrypted: sorting discards where"):
        decrypt(scheme, KEYS, encrypted)
    schemes.require_round_trip(scheme, (8, 12, 3))
    blocks_alone = key_space_bits(schemes.patch_shuffle(4), (8, 12, 3))
    assert key_space_bits(scheme, (8, 12, 3)) == blocks_alone
