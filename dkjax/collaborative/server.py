"""What the server does: keep what arrives and train on it. It never sees a key."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from dkjax.collaborative.client import Upload
from dkjax.data import Records
from dkjax.errors import DataError
from dkjax.train import loop
from dkjax.train.loop import Trainer
from dkjax.train.metrics import Progress
from dkjax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Server:
    """Where a server stands: what it received and how far its model is trained.

    Attributes:
        trainer: the compiled training.
        state: the training's state.
        order_seed: of the order of the records.
        prng_key: the root of the dropout keys.
        records: what has been received; None before the first upload.
    """

    trainer: Trainer
    state: TrainState
    order_seed: int
    prng_key: jax.Array
    records: Records | None = None


def start(trainer: Trainer, params: Any, *, order_seed: int, prng_key: jax.Array) -> Server:
    """Return a server that has received nothing yet.

    Args:
        trainer: from `dkjax.train.loop.make_trainer`.
        params: the parameters to start from; they stay untouched.
        order_seed: of the order of the records.
        prng_key: a typed key for dropout, of no kin to any cipher key.
    """
    return Server(trainer, trainer.start(params), order_seed, prng_key)


def receive(server: Server, uploads: Sequence[Upload], keep: Literal["all", "newest"] = "all") -> Server:
    """Take in the uploads of a round.

    Args:
        server: where the server stands.
        uploads: one from each client.
        keep: `all` that arrived before too, or the `newest` round only.

    Returns:
        The server with the uploads.
    """
    parts = [upload.records for upload in uploads]
    if keep == "all" and server.records is not None:
        parts.insert(0, server.records)
    merged: Records = {
        "image": np.concatenate([records["image"] for records in parts]),
        "label": np.concatenate([records["label"] for records in parts]),
    }
    return dataclasses.replace(server, records=merged)


def train(server: Server, steps: range, report: Callable[[Progress], None] = lambda progress: None) -> Server:
    """Take training steps on what has been received.

    Args:
        server: where the server stands; its training state is given up.
        steps: which steps of the whole training.
        report: called with the progress now and then.

    Returns:
        The server after the last of the steps.

    Raises:
        NonFiniteLossError: with the step.
        DataError: nothing has been received.
    """
    if server.records is None:
        raise DataError("there is nothing to train on: no client has uploaded anything")
    state = loop.train(server.trainer, server.state, server.records, steps, server.order_seed, server.prng_key, report)
    return dataclasses.replace(server, state=state)
