"""Provenance of results: configuration, versions and device."""

import hashlib
import re
from typing import Any

import jax
import numpy as np
from pydantic import BaseModel

from dkjax.config import config_hash, resolved
from dkjax.runtime import machine
from dkjax.train.loop import Trainer


def provenance(config: BaseModel) -> dict[str, Any]:
    """Return configuration, versions and device."""
    return {
        "config": resolved(config),
        "config_hash": config_hash(config),
        "versions": machine.versions(),
        "device": machine.device(),
    }


def hash_of_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 of the bytes of arrays, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_of_optimizer(trainer: Trainer, image_shape: tuple[int, int, int]) -> str:
    """SHA-256 of the program of an optimizer's update, in which every number of the optimizer is written."""
    params = jax.eval_shape(lambda key: trainer.model.init(key, image_shape), jax.random.key(0))
    state = jax.eval_shape(trainer.tx.init, params)
    program = re.sub(r" at 0x[0-9a-f]+", "", str(jax.make_jaxpr(trainer.tx.update)(params, state, params)))
    return hashlib.sha256(program.encode()).hexdigest()
