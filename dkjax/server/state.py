"""What the server does: keep what arrives and train on it. It never sees a key."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import jax

from dkjax.client.upload import Upload
from dkjax.config import ClientWeights, nearest
from dkjax.errors import ConfigError, DataError
from dkjax.input.device_resident import DeviceResident, put_on_devices
from dkjax.input.order import StepOrder, uniform_order, weighted_order
from dkjax.input.record_pool import RecordPool
from dkjax.train import loop
from dkjax.train.loop import Trainer
from dkjax.train.mesh import replicated
from dkjax.train.metrics import Progress
from dkjax.train.state import TrainState
from dkjax.train.step import Metrics


@dataclasses.dataclass(frozen=True)
class ServerState:
    """Where a server stands: what it received and how far its model is trained.

    Attributes:
        trainer: the compiled training.
        state: the training's state.
        order_seed: of the order of the records.
        prng_key: the root of the dropout keys.
        uploads: what it trains on, in the order of arrival.
        records: the records of all of these, where they lie or, with `train.input = "device"`, on the devices; None
            before the first upload.
    """

    trainer: Trainer
    state: TrainState
    order_seed: int
    prng_key: jax.Array
    uploads: tuple[Upload, ...] = ()
    records: RecordPool | DeviceResident | None = None


def start(trainer: Trainer, state: TrainState, *, order_seed: int, prng_key: jax.Array) -> ServerState:
    """Return a server that has received nothing yet.

    In every process that trains together, with the same arguments.

    Args:
        trainer: from `dkjax.train.loop.make_trainer`.
        state: where training starts, such as `trainer.start(params)`, or goes on.
        order_seed: of the order of the records.
        prng_key: a typed key for dropout, of no kin to any cipher key.
    """
    return ServerState(trainer, state, order_seed, trainer.replicate_key(prng_key))


def receive(server: ServerState, uploads: Sequence[Upload], keep: Literal["all", "newest"] = "all") -> ServerState:
    """Take in the uploads of a round; none is copied, except to the devices if training is to take it from there.

    Args:
        server: where the server stands.
        uploads: one from each client.
        keep: `all` that arrived before too, or the `newest` round only.

    Returns:
        The server with the uploads.

    Raises:
        DataError: images of different shapes.
        ConfigError: the images do not fit on the devices.
    """
    kept = (*server.uploads, *uploads) if keep == "all" else tuple(uploads)
    if server.trainer.config.input == "device":
        give_back(server)
        records: RecordPool | DeviceResident = put_on_devices(
            [upload.pool for upload in kept], replicated(server.trainer.mesh)
        )
    else:
        pools = [upload.pool for upload in kept if isinstance(upload.pool, RecordPool)]
        assert len(pools) == len(kept)  # records are deferred for the devices alone
        records = RecordPool([piece for pool in pools for piece in pool.pieces])
    return dataclasses.replace(server, uploads=kept, records=records)


def give_back(server: ServerState) -> None:
    """Free what the server's records take on the devices."""
    if isinstance(server.records, DeviceResident):
        server.records.discard()


def train(
    server: ServerState,
    steps: range,
    report: Callable[[Progress], None] = lambda progress: None,
    unreported: Sequence[Metrics] = (),
    after_step: Callable[[int, TrainState, Sequence[Metrics]], None] = lambda step, state, unreported: None,
    before_step: Callable[[int, TrainState], None] = lambda step, state: None,
) -> ServerState:
    """Take training steps on what has been received.

    Args:
        server: where the server stands; its training state is given up.
        steps: which steps of the whole training.
        report: called with the progress now and then.
        unreported: as for `dkjax.train.loop.train`.
        after_step: likewise.
        before_step: likewise.

    Returns:
        The server after the last of the steps.

    Raises:
        NonFiniteLossError: with the step.
        DataError: nothing has been received.
        ConfigError: the weights of the clients do not fit what has been received.
    """
    if server.records is None:
        raise DataError("there is nothing to train on: no client has uploaded anything")
    order = order_of(server)
    state = loop.train(
        server.trainer,
        server.state,
        server.records,
        order,
        steps,
        server.prng_key,
        report,
        unreported,
        after_step,
        before_step,
    )
    return dataclasses.replace(server, state=state)


def order_of(server: ServerState) -> StepOrder:
    """Return the order in which the server's training sees its records.

    Args:
        server: one that has received something.

    Raises:
        ConfigError: `train.client_weights` does not fit the clients.
    """
    config, seed = server.trainer.config, server.order_seed
    pieces = [(upload.client, len(upload.pool)) for upload in server.uploads]
    weights = weights_of(config.client_weights, [client for client, _ in pieces])
    if weights is None:
        return uniform_order(sum(count for _, count in pieces), config.batch_size, seed)
    return weighted_order(pieces, weights, config.batch_size, seed)


def weights_of(wanted: ClientWeights, clients: Sequence[str]) -> dict[str, float] | None:
    """Say how often each client's records are seen.

    Args:
        wanted: `train.client_weights`.
        clients: the names of the clients.

    Returns:
        A weight for each client; None where every record is to be seen equally often.

    Raises:
        ConfigError: a weight for an unknown client, or a client without a weight.
    """
    if wanted == "records":
        return None
    if wanted == "equal":
        return dict.fromkeys(clients, 1.0)
    known = sorted(set(clients))
    if unknown := sorted(wanted.keys() - set(clients)):
        raise ConfigError(f"train.client_weights: there is no client {unknown[0]!r}; {nearest(unknown[0], known)}")
    if missing := sorted(set(clients) - wanted.keys()):
        raise ConfigError(f"train.client_weights: {', '.join(missing)} has no weight; give every client one")
    return dict(wanted)
