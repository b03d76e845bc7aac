"""dkjax: Vision Transformers trained together on images encrypted with disposable keys.

The names of this page are imported on first use, so that `dkjax --help` does not wait for JAX.
"""

from typing import TYPE_CHECKING

from dkjax.runtime.lazy import lazily

if TYPE_CHECKING:
    from dkjax import client, experiment, keys, models, report, server, sources
    from dkjax import torch as torch
    from dkjax.cipher import decrypt, encrypt, encrypt_batch, encrypt_stream, key_space_bits, schemes
    from dkjax.server import load_trained

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
    "models": "dkjax.models",
    "report": "dkjax.report",
    "sources": "dkjax.sources",
    "server": "dkjax.server",
    "load_trained": "dkjax.server",
    "experiment": "dkjax.experiment",
}

__all__ = [
    "__version__",
    "client",
    "decrypt",
    "encrypt",
    "encrypt_batch",
    "encrypt_stream",
    "experiment",
    "key_space_bits",
    "keys",
    "load_trained",
    "models",
    "report",
    "schemes",
    "server",
    "sources",
]

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
