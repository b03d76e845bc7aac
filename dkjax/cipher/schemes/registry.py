"""The schemes as a table, for what names them in a configuration or on a command line."""

import inspect
from collections.abc import Callable
from typing import Any

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.disposable import disposable
from dkjax.cipher.schemes.ele import ele
from dkjax.cipher.schemes.etc import etc
from dkjax.cipher.schemes.horio import horio
from dkjax.cipher.schemes.le import le
from dkjax.cipher.schemes.negative_positive import negative_positive
from dkjax.cipher.schemes.orthogonal import orthogonal
from dkjax.cipher.schemes.patch_shuffle import patch_shuffle
from dkjax.cipher.schemes.pe import pe
from dkjax.cipher.schemes.qi import qi
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.errors import ArgumentError

_SCHEMES: dict[str, Callable[..., Scheme]] = {
    scheme.__name__: scheme
    for scheme in (disposable, horio, qi, etc, le, ele, pe, orthogonal, patch_shuffle, negative_positive)
}

NAMES = tuple(_SCHEMES)
"""The names of all schemes."""


def by_name(name: str, **parameters: Any) -> Scheme:
    """Make a scheme by its name.

    Args:
        name: one of `NAMES`.
        **parameters: what the scheme's function takes: `block_size`, and `fixed_blocks` and `fixed_pixels` where the
            scheme leaves positions at their place.

    Returns:
        The scheme.

    Raises:
        ArgumentError: there is no such scheme, or it does not take such a parameter or value.

    Example:
        >>> by_name("patch_shuffle", block_size=8)
        Scheme(name='patch_shuffle', block_size=8, transforms=(BlockScrambling(fixed=0),))
    """
    if name not in _SCHEMES:
        raise ArgumentError(f"there is no scheme {name!r}; known are {', '.join(NAMES)}")
    known = inspect.signature(_SCHEMES[name]).parameters
    if unknown := [parameter for parameter in parameters if parameter not in known]:
        takes = ", ".join(known)
        raise ArgumentError(f"the scheme {name} has no parameter {unknown[0]}: it takes {takes}")
    return _SCHEMES[name](**parameters)


def parameters_of(scheme: Scheme) -> dict[str, int]:
    """Return what `by_name` needs to make this scheme again.

    Args:
        scheme: one that a function of `dkjax.schemes` made.

    Returns:
        The parameters by name.

    Raises:
        ArgumentError: the scheme is not one of `NAMES`, or was put together in another way.

    Example:
        >>> parameters_of(disposable(block_size=8, fixed_blocks=3))
        {'block_size': 8, 'fixed_blocks': 3, 'fixed_pixels': 0}
    """
    everything = {"block_size": scheme.block_size}
    for step in scheme.transforms:
        if isinstance(step, BlockScrambling):
            everything["fixed_blocks"] = step.fixed
        elif isinstance(step, PixelPermutation):
            everything["fixed_pixels"] = step.fixed
    known = inspect.signature(_SCHEMES[scheme.name]).parameters if scheme.name in _SCHEMES else ()
    parameters = {name: value for name, value in everything.items() if name in known}
    if scheme.name not in _SCHEMES or by_name(scheme.name, **parameters) != scheme:
        raise ArgumentError(f"{scheme!r} has no name under which another could make it; take one of dkjax.schemes")
    return parameters
