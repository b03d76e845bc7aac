"""The schemes of the literature, by name, one short file each; and where a scheme of one's own is registered."""

# They register themselves: this is the order in which they are listed.
# isort: off
from dkjax.cipher.scheme import Scheme
from dkjax.cipher.schemes.disposable import disposable
from dkjax.cipher.schemes.horio import horio
from dkjax.cipher.schemes.qi import qi
from dkjax.cipher.schemes.etc import etc
from dkjax.cipher.schemes.le import le
from dkjax.cipher.schemes.ele import ele
from dkjax.cipher.schemes.pe import pe
from dkjax.cipher.schemes.orthogonal import orthogonal
from dkjax.cipher.schemes.patch_shuffle import patch_shuffle
from dkjax.cipher.schemes.negative_positive import negative_positive
from dkjax.cipher.schemes.sorted_blocks import sorted_blocks

# isort: on
from dkjax.cipher.schemes.registry import (
    Registration,
    by_name,
    find,
    load_installed,
    names,
    parameters_of,
    register,
    registered,
    unregister,
)
from dkjax.cipher.schemes.round_trip import require_round_trip

NAMES = names()
"""The names of the schemes that come with dkjax."""

__all__ = [
    "NAMES",
    "Scheme",
    "Registration",
    "register",
    "unregister",
    "registered",
    "find",
    "names",
    "load_installed",
    "by_name",
    "parameters_of",
    "require_round_trip",
    "disposable",
    "horio",
    "qi",
    "etc",
    "le",
    "ele",
    "pe",
    "orthogonal",
    "patch_shuffle",
    "negative_positive",
    "sorted_blocks",
]
