"""What all arms of a simulation have in common: who holds which images, and the schemes that have to fit them."""

import dataclasses
import re
from collections.abc import Mapping

from dkjax.cipher.blocks import block_shape
from dkjax.client.from_config import make_scheme
from dkjax.client.rand_augment import check_channels
from dkjax.client.upload import Client
from dkjax.config import ArmConfig, AugmentConfig, ClientsConfig, DataConfig, ExperimentConfig, SimulationConfig
from dkjax.errors import ConfigError
from dkjax.experiment.arms.kind import Arm
from dkjax.experiment.arms.registry import arm_kind
from dkjax.prng import check_prng
from dkjax.server.received import weights_of
from dkjax.sources import Records, Source, read_all
from dkjax.sources.open import Split, open_configured
from dkjax.sources.partition import natural_id, partition
from dkjax.sources.source import Subset, natural_ids, take
from dkjax.train.observer import Observer


@dataclasses.dataclass(frozen=True)
class SharedSetup:
    """What all arms have in common.

    Attributes:
        clients: who holds which images, of `image_shape` or, where they are upscaled when they are needed, smaller.
        test: the plain test images, likewise.
        class_names: by label.
        image_shape: `(H, W, C)`.
        arms: the lines of the comparison.
        skipped: how many records could not be read.
    """

    clients: tuple[Client, ...]
    test: Records
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    arms: tuple[Arm, ...]
    skipped: int

    @property
    def num_records(self) -> int:
        """How many training images there are."""
        return sum(len(client.records["label"]) for client in self.clients)


def prepare(config: SimulationConfig, observer: Observer) -> SharedSetup:
    """Read the images, divide them among clients, and check that every arm's scheme fits.

    Args:
        config: what to run.
        observer: told what is read and what had to be skipped.

    Returns:
        What all arms have in common.

    Raises:
        ArgumentError: a scheme, the model's patch size or `rand_augment` does not fit the images, the weights do not
            fit the clients, or the keys' PRNG is refused.
        DataError: images are missing or damaged, or a client would have none.
    """
    observer.reading(config.data.source)
    sources: dict[Split, Source] = {
        "train": open_configured(config.data, "train"),
        "test": open_configured(config.data, "test"),
    }
    image_shape = sources["train"].image_shape
    arms = tuple(_arm(config, arm, image_shape) for arm in config.arms)
    _check_patches(config, image_shape)
    if encrypts_on_devices(config) and config.augment == AugmentConfig():
        sources = {split: _as_they_come(config.data, split, source) for split, source in sources.items()}
    return dataclasses.replace(deal_out(sources, config, arms, observer), image_shape=image_shape)


def deal_out(
    sources: Mapping[Split, Source],
    config: ExperimentConfig,
    arms: tuple[Arm, ...],
    observer: Observer,
) -> SharedSetup:
    """Read the images, and partition the training images among clients; arguments and errors as for `prepare`."""
    check_prng(config.keys.prng)
    image_shape = sources["train"].image_shape
    if config.augment.rand_augment is not None:
        check_channels(image_shape[2])
    clients = _clients(sources["train"], config.clients)
    test = read_all(sources["test"])
    for source in sources.values():
        for skipped in source.skipped:
            observer.skipped(skipped.name, skipped.reason)
    weights_of(config.train.client_weights, [client.name for client in clients])
    return SharedSetup(
        clients=clients,
        test=test,
        class_names=sources["train"].class_names,
        image_shape=image_shape,
        arms=arms,
        skipped=sum(len(source.skipped) for source in sources.values()),
    )


def _clients(source: Source, config: ClientsConfig) -> tuple[Client, ...]:
    if config.partition_by is not None:
        # Dealt out before they are read, as a record that cannot be read has an id all the same.
        by_id = natural_id(natural_ids(source, config.partition_by), config.min_partition_size)
        fit = all(map(_FIT_FOR_A_FILE.fullmatch, by_id))
        names = list(by_id) if fit else _numbered(len(by_id))
        return tuple(
            Client(name, read_all(Subset(source, part))) for name, part in zip(names, by_id.values(), strict=True)
        )
    records = read_all(source)
    parts = partition(
        config.partition,
        records["label"],
        config.count,
        alpha=config.alpha,
        shards_per_client=config.shards_per_client,
        num_classes_per_partition=config.num_classes_per_partition,
        min_partition_size=config.min_partition_size,
        seed=config.seed,
    )
    pairs = zip(_numbered(len(parts)), parts, strict=True)
    return tuple(Client(name, take(records, part)) for name, part in pairs)


def _numbered(count: int) -> list[str]:
    return [f"client-{number}" for number in range(1, count + 1)]


_FIT_FOR_A_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def encrypts_on_devices(config: ExperimentConfig) -> bool:
    """Say whether images are upscaled and encrypted on the devices, whenever a step needs them."""
    return config.train.input == "device" and not config.store.on_disk


def _as_they_come(config: DataConfig, split: Split, resized: Source) -> Source:
    """Open a source without resizing, if its images are smaller than they are wanted; they are upscaled later."""
    if config.resize != "stretch":
        return resized  # the devices know no other way
    try:
        source = open_configured(config.model_copy(update={"image_size": None}), split)
    except ConfigError:
        return resized  # images of all sizes
    height, width, _ = source.image_shape
    return source if height <= resized.image_shape[0] and width <= resized.image_shape[1] else resized


def _arm(config: SimulationConfig, arm: ArmConfig, image_shape: tuple[int, int, int]) -> Arm:
    block_shape(image_shape, config.scheme.block_size)
    kind, scheme = arm_kind(arm.kind), None
    if kind.encrypted:
        scheme = make_scheme(config.scheme_of(arm), image_shape)
    return Arm(arm.name, kind, scheme, arm.adapt_embedding, config.reading_of(arm))


def _check_patches(config: SimulationConfig, image_shape: tuple[int, int, int]) -> None:
    for name, side in zip(("height", "width"), image_shape[:2], strict=True):
        if side % config.patch_size:
            raise ConfigError(
                f"model.patch_size={config.patch_size} does not divide {name}={side}: choose another, "
                "or set data.image_size to a multiple of it"
            )
