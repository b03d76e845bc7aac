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
