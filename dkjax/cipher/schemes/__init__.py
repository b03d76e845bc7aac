"""The schemes of the literature, by name: one function a scheme, one short file a function."""

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
from dkjax.cipher.schemes.registry import NAMES, by_name, parameters_of

__all__ = [
    "NAMES",
    "Scheme",
    "by_name",
    "parameters_of",
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
]
