"""Federated learning: clients keep their images and send updates, in rounds; and clients that train alone."""

import functools

from dkjax.experiment.arms.kind import ArmKind
from dkjax.experiment.federated_training import train_federated

KINDS = {
    name: ArmKind(name, key_sharing="none", train=functools.partial(train_federated, name))
    for name in ("fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only")
}
"""By name: FedAvg, FedProx, FedAdam or FedYogi, FedAvg of low-rank adapters, and no federation at all."""
