"""What a configuration asks of a client: a scheme that fits its images, and a ratchet."""

import numpy as np

from dkjax import keys
from dkjax.cipher import Scheme, schemes
from dkjax.cipher.blocks import block_shape
from dkjax.config import KeysConfig, SchemeConfig, fixed_count


def make_scheme(config: SchemeConfig, image_shape: tuple[int, int, int]) -> Scheme:
    """Make the scheme for images of one shape, where shares of fixed positions become numbers.

    Args:
        config: name, block size, fixed positions, and what else the scheme takes.
        image_shape: `(H, W, C)` of the `uint8` images.

    Returns:
        The scheme.

    Raises:
        ArgumentError: the scheme does not fit the images, or does not give back what it encrypts.
    """
    shape = block_shape(image_shape, config.block_size)
    parameters = {"block_size": config.block_size, **config.own}
    totals = {"fixed_blocks": shape.num_blocks, "fixed_pixels": shape.values}
    for name in schemes.find(config.name).restrictions:
        parameters[name] = fixed_count(getattr(config, name), totals[name])
    scheme = schemes.by_name(config.name, **parameters)
    scheme.check(image_shape, np.uint8)
    schemes.require_round_trip(scheme, image_shape)
    return scheme


def make_ratchet(config: KeysConfig, run: int = 0) -> keys.Ratchet:
    """Make a ratchet.

    Args:
        config: disposable keys, or a seed.
        run: which repetition of an experiment; reproducible keys differ from run to run.

    Returns:
        A new ratchet.
    """
    if config.mode == "disposable":
        return keys.disposable(prng=config.prng)
    assert config.seed is not None  # the configuration was checked
    return keys.reproducible(seed=config.seed + run, prng=config.prng)
