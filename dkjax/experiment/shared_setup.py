"""What all arms of a simulation have in common: who holds which images, and the schemes that have to fit them."""

import dataclasses

from dkjax.cipher import Scheme
from dkjax.cipher.blocks import block_shape
from dkjax.client.from_config import make_scheme
from dkjax.client.rand_augment import check_channels
from dkjax.client.upload import Client
from dkjax.config import ArmConfig, AugmentConfig, DataConfig, SimulationConfig
from dkjax.errors import ConfigError, DataError
from dkjax.prng import check_prng
from dkjax.server.state import weights_of
from dkjax.sources import Records, Source, read_all
from dkjax.sources.open import Split, open_configured
from dkjax.sources.partition import partition
from dkjax.sources.source import take
from dkjax.train.observer import Observer


@dataclasses.dataclass(frozen=True)
class SharedSetup:
    """What all arms have in common.

    Attributes:
        clients: who holds which images, of `image_shape` or, where they are enlarged when they are needed, smaller.
        test: the plain test images, likewise.
        class_names: by label.
        image_shape: `(H, W, C)`.
        schemes: by the arm's name; None for plain images.
        skipped: how many records could not be read.
    """

    clients: tuple[Client, ...]
    test: Records
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    schemes: dict[str, Scheme | None]
    skipped: int


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
    check_prng(config.keys.prng)
    observer.reading(config.data.source)
    sources: dict[Split, Source] = {
        "train": open_configured(config.data, "train"),
        "test": open_configured(config.data, "test"),
    }
    image_shape = sources["train"].image_shape
    if encrypts_on_devices(config) and config.augment == AugmentConfig():
        sources = {split: _as_they_come(config.data, split, source) for split, source in sources.items()}
    if config.augment.rand_augment is not None:
        check_channels(image_shape[2])
    arm_schemes = {arm.name: _scheme(config, arm, image_shape) for arm in config.arms}
    _check_patches(config, image_shape)
    records: dict[str, Records] = {}
    for split, source in sources.items():
        records[split] = read_all(source)
        for skipped in source.skipped:
            observer.skipped(skipped.name, skipped.reason)
        if not len(records[split]["label"]):
            raise DataError(f"{config.data.source} has no readable {split} image: see the list of skipped files")
    labels = records["train"]["label"]
    parts = partition(
        config.clients.partition,
        labels,
        config.clients.count,
        alpha=config.clients.alpha,
        shards_per_client=config.clients.shards_per_client,
        seed=config.clients.seed,
    )
    clients = tuple(
        Client(f"client-{number}", take(records["train"], part)) for number, part in enumerate(parts, start=1)
    )
    weights_of(config.train.client_weights, [client.name for client in clients])
    return SharedSetup(
        clients=clients,
        test=records["test"],
        class_names=sources["train"].class_names,
        image_shape=image_shape,
        schemes=arm_schemes,
        skipped=sum(len(source.skipped) for source in sources.values()),
    )


def encrypts_on_devices(config: SimulationConfig) -> bool:
    """Say whether images are enlarged and encrypted on the devices, whenever a step needs them."""
    return config.train.input == "device" and not config.store.on_disk


def _as_they_come(config: DataConfig, split: Split, resized: Source) -> Source:
    """Open a source without resizing, if its images are smaller than they are wanted; they are enlarged later."""
    if config.resize != "stretch":
        return resized  # the devices know no other way
    try:
        source = open_configured(config.model_copy(update={"image_size": None}), split)
    except ConfigError:
        return resized  # images of all sizes
    height, width, _ = source.image_shape
    return source if height <= resized.image_shape[0] and width <= resized.image_shape[1] else resized


def _scheme(config: SimulationConfig, arm: ArmConfig, image_shape: tuple[int, int, int]) -> Scheme | None:
    block_shape(image_shape, config.scheme.block_size)
    if arm.kind == "plain":
        return None
    own = {key: getattr(arm, key) for key in ("fixed_blocks", "fixed_pixels") if getattr(arm, key) is not None}
    return make_scheme(config.scheme.model_copy(update=own), image_shape)


def _check_patches(config: SimulationConfig, image_shape: tuple[int, int, int]) -> None:
    for name, side in zip(("height", "width"), image_shape[:2], strict=True):
        if side % config.patch_size:
            raise ConfigError(
                f"model.patch_size={config.patch_size} does not divide {name}={side}: choose another, "
                "or set data.image_size to a multiple of it"
            )
