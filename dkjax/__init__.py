"""dkjax: Vision Transformers trained together on images encrypted with disposable keys.

The names of this page are imported on first use, so that `dkjax --help` does not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dkjax import client, keys
    from dkjax import torch as torch
    from dkjax.cipher import decrypt, encrypt, encrypt_batch, encrypt_stream, key_space_bits, schemes

__version__ = "0.1.0"

# `torch` is in no list of names: to look at every name of the package must not need PyTorch.
_HOMES = {
    "client": "dkjax.client",
    "keys": "dkjax.keys",
    "schemes": "dkjax.cipher.schemes",
    "encrypt": "dkjax.cipher",
    "decrypt": "dkjax.cipher",
    "encrypt_batch": "dkjax.cipher",
    "encrypt_stream": "dkjax.cipher",
    "key_space_bits": "dkjax.cipher",
    "torch": "dkjax.torch",
}

__all__ = [
    "__version__",
    "client",
    "decrypt",
    "encrypt",
    "encrypt_batch",
    "encrypt_stream",
    "key_space_bits",
    "keys",
    "schemes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dkjax' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if home.__name__.rpartition(".")[2] == name else getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
