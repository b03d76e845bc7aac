"""Encrypting for attacks to work on, with the truth remembered."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from dkjax.attacks.cases import Sent, sending
from dkjax.cipher import Scheme
from dkjax.config import KeysConfig

KEYS = KeysConfig(mode="reproducible", seed=0)


@contextlib.contextmanager
def encrypting(scheme: Scheme, shared: bool = False) -> Iterator[Callable[[np.ndarray], Sent]]:
    with sending(scheme, KEYS, shared) as send:
        yield send


def sent(scheme: Scheme, images: np.ndarray, shared: bool = False) -> Sent:
    with encrypting(scheme, shared) as send:
        return send(images)
