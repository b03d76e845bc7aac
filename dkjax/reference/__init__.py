"""The cipher once more, in NumPy alone: written from docs/spec.md, without a line of the JAX package.

Two independent programs that give the same bytes are the evidence that the specification says everything. It is also
a light client: importing it imports NumPy and nothing else that is not in Python, and it encrypts what a server with
JAX decrypts (docs/light_client.md). Keys are plain arrays of words here, `uint32[..., 8]` for chacha20 and
`uint32[..., 2]` for threefry2x32; nothing erases them but `erase`, and nothing refuses to use them twice.

The scheme `orthogonal` is not here: its bytes depend on how a machine rounds.
"""

from dkjax.reference.encryption import decrypt, encrypt
from dkjax.reference.keys import advance, client_key, disposable_root, erase, image_keys, reproducible_root
from dkjax.reference.keystream import bits, fold_in, split
from dkjax.reference.permutations import invert, random_permutations
from dkjax.reference.schemes import NAMES, Scheme, by_name

__all__ = [
    "disposable_root",
    "reproducible_root",
    "advance",
    "client_key",
    "image_keys",
    "erase",
    "NAMES",
    "Scheme",
    "by_name",
    "encrypt",
    "decrypt",
    "random_permutations",
    "invert",
    "split",
    "fold_in",
    "bits",
]
