"""Schemes are values: what they accept, how they show and compare themselves, and their examples."""

import dataclasses
import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.cipher import Scheme, schemes
from dkjax.cipher.blocks import block_shape, from_blocks, to_blocks
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.errors import ArgumentError


@pytest.mark.parametrize("scheme", [schemes.disposable, schemes.horio])
@pytest.mark.parametrize("name", ["fixed_blocks", "fixed_pixels"])
@pytest.mark.parametrize("bad", [-1, True, 1.0, "3", None])
def test_bad_counts(scheme, name, bad):
    with pytest.raises(ArgumentError, match=f"{name} must be a whole number, at least 0, got {bad!r}"):
        scheme(**{name: bad})


@pytest.mark.parametrize("bad", [0, -16, True, 16.0, "16"])
@pytest.mark.parametrize("name", schemes.NAMES)
def test_bad_block_size(name, bad):
    with pytest.raises(ArgumentError, match=f"block_size must be a whole number of pixels, at least 1, got {bad!r}"):
        schemes.by_name(name, block_size=bad)


def test_by_name():
    assert set(schemes.NAMES) < set(schemes.__all__)
    assert schemes.names() == schemes.NAMES
    for name in schemes.NAMES:
        assert schemes.by_name(name) == getattr(schemes, name)()
        assert schemes.by_name(name).name == name
        assert schemes.by_name(name, block_size=7).block_size == 7
    assert schemes.by_name("horio", fixed_blocks=3) == schemes.horio(fixed_blocks=3)
    with pytest.raises(ArgumentError, match="there is no scheme 'rot13'; known are disposable, horio, qi, etc, le"):
        schemes.by_name("rot13")
    with pytest.raises(ArgumentError, match="the scheme qi has no parameter fixed_blocks: it takes block_size"):
        schemes.by_name("qi", fixed_blocks=3)


def test_counts_beyond_the_image_are_refused_on_use():
    schemes.disposable(4, fixed_blocks=6, fixed_pixels=48).check((8, 12, 3))
    with pytest.raises(ArgumentError, match="fixed_blocks=7 is more than the 6 blocks"):
        schemes.disposable(4, fixed_blocks=7).check((8, 12, 3))
    with pytest.raises(ArgumentError, match="fixed_pixels=49 is more than the 48 values"):
        schemes.disposable(4, fixed_pixels=49).check((8, 12, 3))


def test_a_scheme_is_a_value():
    scheme, same, other = (schemes.disposable(4, fixed_blocks=n) for n in (1, 1, 2))
    assert scheme == same
    assert hash(scheme) == hash(same)
    assert scheme != other
    with pytest.raises(dataclasses.FrozenInstanceError):
        scheme.block_size = 8
    assert scheme == Scheme("disposable", 4, (BlockScrambling(1), PixelPermutation(0)))


def test_repr_shows_the_parameters_and_nothing_else():
    assert repr(schemes.disposable(16, fixed_blocks=147, fixed_pixels=576)) == (
        "Scheme(name='disposable', block_size=16, transforms=(BlockScrambling(fixed=147), PixelPermutation(fixed=576)))"
    )


@pytest.mark.parametrize(
    "transforms",
    [
        (),
        (BlockScrambling(1),),
        (PixelPermutation(9),),
        (BlockScrambling(), PixelPermutation()),
        (PixelPermutation(), BlockScrambling()),
        (PixelPermutation(), PixelPermutation()),
        (BlockScrambling(), PixelPermutation(), BlockScrambling()),
    ],
    ids=lambda transforms: "-".join(type(transform).__name__ for transform in transforms),
)
def test_permutations_are_applied_like_any_transforms(transforms):
    scheme, shape = Scheme("permuting", 4, transforms), (8, 12, 3)
    image = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    parameters = scheme.sample(jax.random.key(0), shape)
    blocks = to_blocks(jnp.array(image), 4)
    for transform, drawn in zip(transforms, parameters, strict=True):
        blocks = transform.apply(drawn, blocks, block_shape(shape, 4))
    encrypted = scheme.apply(parameters, jnp.array(image))
    np.testing.assert_array_equal(encrypted, from_blocks(blocks, shape, 4))
    np.testing.assert_array_equal(scheme.invert(parameters, encrypted), image)


MODULES = ["batch", "encryption", "schemes.registry", *(f"schemes.{name}" for name in schemes.NAMES)]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"dkjax.cipher.{name}"))
    assert attempted > 0
    assert failed == 0
