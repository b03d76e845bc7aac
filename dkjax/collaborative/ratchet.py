"""The ratchet that a configuration asks for."""

from dkjax import keys
from dkjax.config import KeysConfig


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
