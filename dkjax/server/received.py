"""What a server has received, and the order in which its training sees it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from dkjax.client.upload import Upload
from dkjax.config import ClientWeights, TrainConfig, nearest
from dkjax.errors import ConfigError, DataError
from dkjax.input.device_resident import DeviceResident, put_on_devices
from dkjax.input.order import StepOrder, uniform_order, weighted_order
from dkjax.input.record_pool import RecordPool
from dkjax.models.vit import Params
from dkjax.runtime.mapped_file import require_unchanged
from dkjax.sources.source import Indexed
from dkjax.train.loop import Trainer
from dkjax.train.mesh import replicated
from dkjax.train.run import Run, Stage


@dataclasses.dataclass(frozen=True)
class Received:
    """The uploads a server trains on. It never sees a key.

    Attributes:
        uploads: in the order of arrival.
        records: their records, where they were uploaded or, with `train.input = "device"`, on the devices.
    """

    uploads: tuple[Upload, ...]
    records: RecordPool | DeviceResident

    def order(self, config: TrainConfig, seed: int) -> StepOrder:
        """Return the order in which training sees the records.

        Args:
            config: the batch size, and how often each client's records are seen.
            seed: of the order.

        Raises:
            ConfigError: `train.client_weights` does not fit the clients.
        """
        pieces = [(upload.client, len(upload.pool)) for upload in self.uploads]
        weights = weights_of(config.client_weights, [client for client, _ in pieces])
        if weights is None:
            return uniform_order(sum(count for _, count in pieces), config.batch_size, seed)
        return weighted_order(pieces, weights, config.batch_size, seed)

    def stage(
        self,
        run: Run,
        test_sets: Mapping[str, Indexed | DeviceResident],
        adapt: Callable[[Params], Params] = lambda params: params,
    ) -> Stage:
        """Return what a run is trained on; arguments as for `dkjax.train.run.Stage`, errors as for `order`."""
        return Stage(self.records, self.order(run.trainer.config, run.seed), test_sets, adapt)

    def discard(self) -> None:
        """Free what the records take on the devices."""
        if isinstance(self.records, DeviceResident):
            self.records.discard()


def receive(
    uploads: Sequence[Upload], trainer: Trainer, earlier: Received | None = None, keep: Literal["all", "newest"] = "all"
) -> Received:
    """Take in the uploads of a round; none is copied, except to the devices if training is to take it from there.

    Args:
        uploads: one from each client, or several.
        trainer: where they are trained on.
        earlier: what was received before; with `train.input = "device"` it leaves the devices.
        keep: `all` that was received before too, or the `newest` round only.

    Raises:
        DataError: there are none, images of different shapes, or a file that changed since it was opened.
        ConfigError: the images do not fit on the devices.
    """
    kept = (*earlier.uploads, *uploads) if earlier is not None and keep == "all" else tuple(uploads)
    if not kept:
        raise DataError("there is nothing to train on: no client has uploaded anything")
    if trainer.config.input == "device":
        if earlier is not None:
            earlier.discard()
        held = put_on_devices([upload.pool for upload in kept], replicated(trainer.mesh))
        require_unchanged(file for upload in kept if isinstance(upload.pool, RecordPool) for file in upload.pool.files)
        return Received(kept, held)
    pools = [upload.pool for upload in kept if isinstance(upload.pool, RecordPool)]
    assert len(pools) == len(kept)  # records are encrypted lazily for the devices alone
    pieces = [piece for pool in pools for piece in pool.pieces]
    return Received(kept, RecordPool(pieces, [file for pool in pools for file in pool.files]))


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
