"""The sections of a configuration, as frozen models that refuse unknown keys and numbers out of range."""

import importlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from dkjax.errors import nearest

if TYPE_CHECKING:
    from dkjax.cipher.schemes import Registration

FixedCount = Annotated[int | str, Field(union_mode="left_to_right")]
"""How many positions stay in place: a number, or a share of them such as `"75%"`."""

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A table of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _check_fixed(value: int | str) -> int | str:
    if isinstance(value, str) and (not re.fullmatch(r"\d{1,3}%", value) or int(value[:-1]) > 100):
        raise ValueError(f'expected a count or a share from "0%" to "100%", got {value!r}')
    if isinstance(value, int) and value < 0:
        raise ValueError(f"expected a count of at least 0, got {value}")
    return value


def _check_restricted(scheme: str, key: str, where: str) -> None:
    if key not in (own := _registered(scheme).restrictions):
        which = f"no {key.removeprefix('fixed_')} at their" if own else "nothing at its"
        able = ", ".join(name for name in _schemes("restrictions") if key in _registered(name).restrictions)
        raise ValueError(f"{where}: the scheme {scheme} leaves {which} place; {able} do")


def _registered(scheme: str) -> "Registration":
    # Only here, so that a configuration is known without JAX.
    from dkjax.cipher import schemes

    return schemes.find(scheme)


def _schemes(kind: str) -> list[str]:
    """Name the schemes of a kind: `restrictions`, `adaptable` or `takes_uint8`."""
    from dkjax.cipher import schemes

    return [name for name in schemes.names() if getattr(_registered(name), kind)]


def fixed_count(value: int | str, total: int) -> int:
    """Turn a count or a share of `total` into a count, rounding down.

    Args:
        value: a count, or a share such as `"75%"`, as `_check_fixed` lets pass.
        total: the number of positions there are.

    Returns:
        The count. A count above `total` is returned as it is; the scheme refuses it for the image at hand.
    """
    return value if isinstance(value, int) else total * int(value[:-1]) // 100


class _TestImagesConfig(Section):
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: NonNegativeInt = 0
    test_images: PositiveInt | None = None
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    range: tuple[float, float] | Literal["bits", "percentile"] | None = None
    decode: Literal["exact", "scaled"] = "scaled"

    @pydantic.field_validator("range", mode="before")
    @classmethod
    def _as_pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.field_validator("range")
    @classmethod
    def _ends_are_in_order(cls, value: Any) -> Any:
        if isinstance(value, tuple) and not value[0] < value[1]:
            raise ValueError(f"expected the smaller value first, got {list(value)}")
        return value


class ServerDataConfig(_TestImagesConfig):
    """`[data]` as far as the server cares: how plain test images are chosen and prepared. The rest is the clients'."""

    model_config = ConfigDict(extra="ignore")


class LabelColumns(Section):
    """`[data.columns]`: what the columns of a table of labels are called, where their names are not usual ones."""

    file: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    site: str | None = None


class _ImagesConfig(_TestImagesConfig):
    image_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    channels: Literal[1, 3] | None = None
    train_images: PositiveInt | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    labels: str | None = None
    columns: LabelColumns | None = None
    site: str | None = None

    @pydantic.field_validator("image_size", "classes", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The size images are resized to before encryption, or None to keep theirs."""
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        return self.image_size


class DataConfig(_ImagesConfig):
    """`[data]`: which images, at which size."""

    source: str


class PlanDataConfig(_ImagesConfig):
    """`[data]` where the shape of the images may also be known from elsewhere."""

    source: str | None = None


class ClientsConfig(Section):
    """`[clients]`: how the training images are partitioned among the clients, and how often these upload."""

    count: PositiveInt = 4
    partition: Literal["iid", "dirichlet", "shards", "pathological", "quantity", "natural_id"] = "iid"
    partition_by: str | None = None
    alpha: PositiveFloat = 1.0
    shards_per_client: PositiveInt = 2
    num_classes_per_partition: PositiveInt = 2
    min_partition_size: PositiveInt = 1
    seed: NonNegativeInt = 0
    rounds: PositiveInt = 1
    train_on: Literal["all", "newest"] = "all"

    @pydantic.model_validator(mode="after")
    def _natural_ids_are_named(self) -> "ClientsConfig":
        if (self.partition == "natural_id") != (self.partition_by is not None):
            raise ValueError(
                'partition = "natural_id" and partition_by belong together: the column of the table of labels, or '
                '"folder" for sub-folders, that says whose an image is'
            )
        return self

    @property
    def known_count(self) -> int | None:
        """How many clients there are; None where the data say it."""
        return None if self.partition == "natural_id" else self.count


class KeysConfig(Section):
    """`[keys]`: where the cipher keys come from."""

    mode: Literal["disposable", "reproducible"] = "disposable"
    seed: NonNegativeInt | None = None
    prng: str = "chacha20"

    @pydantic.model_validator(mode="after")
    def _seed_belongs_to_reproducible(self) -> "KeysConfig":
        if self.mode == "disposable" and self.seed is not None:
            raise ValueError('a seed makes keys guessable: remove it, or set mode = "reproducible"')
        if self.mode == "reproducible" and self.seed is None:
            raise ValueError('mode = "reproducible" needs a seed')
        return self


class SchemeConfig(Section):
    """`[scheme]`: the encryption; an arm may override it, the block size aside.

    A user's own scheme may have further keys: what its function takes.
    """

    model_config = ConfigDict(extra="allow")

    name: str = "disposable"
    block_size: PositiveInt = 16
    fixed_blocks: FixedCount = 0
    fixed_pixels: FixedCount = 0

    _fixed = pydantic.field_validator("fixed_blocks", "fixed_pixels")(_check_fixed)

    @pydantic.field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        _registered(name)
        return name

    @pydantic.model_validator(mode="after")
    def _parameters_belong_to_the_scheme(self) -> "SchemeConfig":
        registration = _registered(self.name)
        if not registration.takes_uint8:
            raise ValueError(
                f"{self.name} does not take the uint8 images that clients upload: use dkjax.schemes.{self.name} in "
                "Python, or choose another scheme"
            )
        if registration.pixelwise and self.block_size != 1:
            raise ValueError(
                f"{self.name} encrypts pixel by pixel: set block_size = 1, and the ViT's patches by model.patch_size"
            )
        for key in ("fixed_blocks", "fixed_pixels"):
            if getattr(self, key) != 0:
                _check_restricted(self.name, key, key)
        known = list(dict.fromkeys([*SchemeConfig.model_fields, *registration.parameters]))
        for key, value in self.own.items():
            if key not in known:
                raise ValueError(f"unknown key scheme.{key}; {nearest(key, known)}")
            if not isinstance(value, bool | int | float | str):
                raise ValueError(f"{key}: expected a number, true, false or a text, got {value!r}")
        return self

    @property
    def own(self) -> dict[str, Any]:
        """What only this scheme has: parameters beside those that are fields of this section."""
        return dict(self.__pydantic_extra__ or {})


class StoreConfig(Section):
    """`[store]`: encrypted data sets on disk."""

    shard_images: PositiveInt | None = None
    on_disk: bool = False


class AugmentConfig(Section):
    """`[augment]`: random changes that a client makes to its images before it encrypts them."""

    flip: bool = False
    crop: NonNegativeInt = 0
    rand_augment: tuple[PositiveInt, Annotated[int, Field(ge=0, le=30)]] | None = None

    @pydantic.field_validator("rand_augment", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


Reading = Literal["values", "sorted", "sorted_channels", "sorted_pixels", "equivariant"]
"""How a model reads the values of its patches: `dkjax.models.reading.Reading`."""


class ModelConfig(Section):
    """`[model]`: the Vision Transformer. Its patch size is the scheme's block size, unless it is given here."""

    variant: str = "Ti"
    patch_size: PositiveInt | None = None
    width: PositiveInt | None = None
    depth: PositiveInt | None = None
    mlp_dim: PositiveInt | None = None
    heads: PositiveInt | None = None
    pool: Literal["token", "mean"] = "token"
    gelu: Literal["tanh", "exact"] = "tanh"
    dropout: Fraction = 0.0
    stochastic_depth: Fraction = 0.0
    patch_dropout: Fraction = 0.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    reading: Reading = "values"
    position_embedding: bool = True
    relation_bias: bool = False
    layer_scale: bool = False
    pretrained: Annotated[Path, Field(strict=False)] | None = None
    pretrained_mean: tuple[float, ...] | None = None
    pretrained_std: tuple[PositiveFloat, ...] | None = None
    pretrained_architecture: str | None = None
    new_embedding: bool = False

    @pydantic.field_validator("pretrained_mean", "pretrained_std", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _normalisation_is_of_a_checkpoint(self) -> "ModelConfig":
        of_it = (self.pretrained_mean, self.pretrained_std, self.pretrained_architecture)
        if self.pretrained is None and of_it != (None, None, None):
            raise ValueError(
                "pretrained_mean, _std and _architecture say what a checkpoint was trained on: set pretrained"
            )
        if self.pretrained is None and self.new_embedding:
            raise ValueError("new_embedding is for a pretrained trunk: set pretrained, or leave it away")
        return self

    def settings(self) -> dict[str, Any]:
        """What `dkjax.models.vit.vit` takes, the patch size aside."""
        return self.model_dump(
            exclude={"patch_size", "new_embedding"}
            | {name for name in type(self).model_fields if name.startswith("pretrained")}
        )


def _check_weights(value: Any) -> Any:
    words = value in ("records", "equal")
    numbers = isinstance(value, dict) and all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
        for weight in value.values()
    )
    if not words and not numbers:
        raise ValueError(
            f'expected "records", "equal", or a number above 0 for each client, such as {{a = 2, b = 1}}, got {value!r}'
        )
    return value


_CLIENT_SIDE = "clients do it before they encrypt, as [augment] says"
_REGION = (
    "a rectangle of it is no region of the picture; model.patch_dropout leaves patches out, and train.patch_mix "
    "exchanges them between images"
)
_NOT_ON_ENCRYPTED = {
    **dict.fromkeys(
        ("flip", "crop", "rotate", "shear", "translate", "resize", "random_crop", "random_flip", "random_resized_crop"),
        f"its values do not lie where they lay in the picture; {_CLIENT_SIDE}",
    ),
    **dict.fromkeys(
        ("rand_augment", "auto_augment", "trivial_augment", "augmix"),
        f"its values do not lie where they lay in the picture, and its channels are mixed; {_CLIENT_SIDE}",
    ),
    **dict.fromkeys(
        ("color_jitter", "colour_jitter", "brightness", "contrast", "saturation", "hue", "grayscale", "mean", "std"),
        f"its channels are mixed; {_CLIENT_SIDE}",
    ),
    **dict.fromkeys(("cutmix", "cutout", "random_erasing"), _REGION),
}
"""What is done to plain images elsewhere, and why it means nothing once an image is encrypted."""


ClientWeights = Literal["records", "equal"] | dict[str, PositiveFloat]
"""How often each client's images are seen: in proportion to its records, all clients alike, or by its name."""


class TrainConfig(Section):
    """`[train]`: the server's training, the same for every arm."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 128
    client_weights: Annotated[ClientWeights, BeforeValidator(_check_weights)] = "records"
    learning_rate: PositiveFloat = 1e-3
    head_learning_rate: PositiveFloat | None = None
    embedding_learning_rate: PositiveFloat | None = None
    warmup_fraction: Fraction = 0.1
    weight_decay: NonNegativeFloat = 0.05
    clip_norm: PositiveFloat | None = 1.0
    label_smoothing: Fraction = 0.0
    mixup: NonNegativeFloat = 0.0
    patch_mix: NonNegativeFloat = 0.0
    accumulate: PositiveInt = 1
    fsdp: PositiveInt = 1
    input: Literal["host", "device"] = "host"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # jax.random.key keeps 32 bits; runs count on from here
    runs: PositiveInt = 1
    evaluations: PositiveInt = 5
    log_every: PositiveInt = 20
    checkpoint_every: NonNegativeInt = 500
    keep_checkpoints: PositiveInt = 3

    @pydantic.model_validator(mode="before")
    @classmethod
    def _valid_on_encrypted_images(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name in _NOT_ON_ENCRYPTED:
                raise ValueError(f"{name} cannot be done to an encrypted image: {_NOT_ON_ENCRYPTED[name]}")
        return given

    @pydantic.model_validator(mode="after")
    def _batches_can_be_divided(self) -> "TrainConfig":
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}")
        if self.mixup and self.patch_mix:
            raise ValueError("mixup and patch_mix both mix pairs of images: set one of them to 0")
        for name in ("mixup", "patch_mix"):
            if getattr(self, name) and self.batch_size // self.accumulate % 2:
                raise ValueError(
                    f"{name} takes images in pairs: batch_size={self.batch_size} over accumulate={self.accumulate} "
                    "must be an even number"
                )
        return self


class FederatedConfig(Section):
    """`[federated]`: the arms of federated learning, which train the same network on the same images."""

    rounds: PositiveInt | None = None
    clients_per_round: PositiveInt | None = None
    local_epochs: PositiveInt = 1
    batch_size: PositiveInt | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat | None = None
    server_optimizer: Literal["adam", "yogi"] = "adam"
    server_learning_rate: PositiveFloat = 1e-2
    mu: NonNegativeFloat = 0.01
    lora_rank: PositiveInt = 4
    lora_alpha: PositiveFloat = 8.0
    update: Literal["float32", "bfloat16", "int8"] = "float32"
    executor: Literal["auto", "in_turn", "side_by_side"] = "auto"


def _arms() -> Any:
    """The registry of arms, found by its name when an arm is read: a configuration imports nothing of experiments."""
    return importlib.import_module("dkjax.experiment.arms.registry")


_FURTHER = ("pixel_order", "order_by", "levels", "epsilon")
"""Parameters of schemes that an arm may set, beside the counts of fixed positions."""


class ArmConfig(Section):
    """`[[arms]]`: one line of the comparison. Unless its kind is given, it is what the name begins with.

    What an arm does not set is that of `[scheme]` and `[model]`; a scheme of another name begins with its defaults.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    kind: str = ""
    scheme: str | None = None
    fixed_blocks: FixedCount | None = None
    fixed_pixels: FixedCount | None = None
    pixel_order: Literal["image", "block"] | None = None
    order_by: Literal["value", "channel", "luminance"] | None = None
    levels: PositiveInt | None = None
    epsilon: NonNegativeFloat | None = None
    reading: Reading | None = None
    adapt_embedding: bool = False

    @pydantic.field_validator("scheme")
    @classmethod
    def _is_registered(cls, name: str | None) -> str | None:
        if name is not None:
            _registered(name)
        return name

    @pydantic.field_validator("fixed_blocks", "fixed_pixels")
    @classmethod
    def _fixed(cls, value: int | str | None) -> int | str | None:
        return None if value is None else _check_fixed(value)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _kind_in_name(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("kind", "") != "" or not isinstance(given.get("name"), str):
            return given
        return {**given, "kind": _arms().kind_in_name(given["name"]) or ""}

    @pydantic.model_validator(mode="after")
    def _kind_fits(self) -> "ArmConfig":
        known = ", ".join(_arms().arm_kinds())
        if not self.kind:
            raise ValueError(f"the arm {self.name!r} must begin with one of {known}, or have one of them as its kind")
        if self.kind not in _arms().arm_kinds():
            raise ValueError(f"the arm {self.name!r} has the kind {self.kind!r}, which is not one of {known}")
        if self.adapt_embedding and not _arms().arm_kind(self.kind).adaptable:
            raise ValueError(
                f"adapt_embedding in arm {self.name!r}: it exists for shared_key arms alone, "
                "since no single embedding undoes more than one key"
            )
        if self.own_scheme and not self.encrypted:
            raise ValueError(f"{' and '.join(self.own_scheme)} in arm {self.name!r}: plain images are not encrypted")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether clients of this arm upload encrypted images."""
        return bool(_arms().arm_kind(self.kind).encrypted)

    @property
    def own_scheme(self) -> dict[str, Any]:
        """What this arm sets of its scheme itself."""
        names = ("scheme", "fixed_blocks", "fixed_pixels", *_FURTHER)
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class ExperimentConfig(Section):
    """What `dkjax simulate` does with images, a model and arms, wherever those are from."""

    clients: ClientsConfig = ClientsConfig()
    keys: KeysConfig = KeysConfig()
    train: TrainConfig = TrainConfig()
    store: StoreConfig = StoreConfig()
    augment: AugmentConfig = AugmentConfig()
    federated: FederatedConfig = FederatedConfig()

    @pydantic.model_validator(mode="after")
    def _enough_clients(self) -> "ExperimentConfig":
        wanted = self.federated.clients_per_round
        count = self.clients.known_count
        if wanted is not None and count is not None and wanted > count:
            raise ValueError(f"federated.clients_per_round={wanted} is more than clients.count={count}")
        return self


class SweepConfig(Section):
    """`[sweep]`: arms for every pair of restriction levels, each run with several seeds."""

    arms: Annotated[tuple[str, ...], Field(min_length=1)] = ("disposable",)
    fixed_blocks: Annotated[tuple[FixedCount, ...], Field(min_length=1)] = (0,)
    fixed_pixels: Annotated[tuple[FixedCount, ...], Field(min_length=1)] = (0,)
    seeds: PositiveInt = 1

    @pydantic.field_validator("arms", "fixed_blocks", "fixed_pixels", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def made_arms(self) -> list[dict[str, Any]]:
        """The arms as `[[arms]]` would say them: `disposable-75-0` of shares, `disposable-n12-n0` of counts."""

        def level(value: int | str) -> str:
            return value.rstrip("%") if isinstance(value, str) else f"n{value}" if value else "0"

        return [
            {"name": f"{arm}-{level(blocks)}-{level(pixels)}", "fixed_blocks": blocks, "fixed_pixels": pixels}
            for arm in self.arms
            for blocks in self.fixed_blocks
            for pixels in self.fixed_pixels
        ]


class SimulationConfig(ExperimentConfig):
    """Everything `dkjax simulate` needs to know."""

    data: DataConfig
    scheme: SchemeConfig = Field(default_factory=SchemeConfig)
    model: ModelConfig = ModelConfig()
    arms: Annotated[tuple[ArmConfig, ...], Field(min_length=1)]
    sweep: SweepConfig = Field(default_factory=SweepConfig, exclude=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _sweep_becomes_arms(cls, tree: Any) -> Any:
        """Arms and seeds stand in the resolved configuration as if they had been written one by one."""
        if not isinstance(tree, dict) or not isinstance(tree.get("sweep"), dict):
            return tree
        try:
            sweep = SweepConfig.model_validate(tree["sweep"])
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"sweep.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        train, arms = tree.get("train", {}), tree.get("arms", ())
        if not isinstance(train, dict) or not isinstance(arms, list | tuple):
            return tree
        if "runs" in train:
            raise ValueError("train.runs and [sweep] both say how many seeds there are: set sweep.seeds alone")
        made = {"train": {**train, "runs": sweep.seeds}, "arms": [*arms, *sweep.made_arms()]}
        return {name: value for name, value in tree.items() if name != "sweep"} | made

    @pydantic.field_validator("arms", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.field_validator("arms")
    @classmethod
    def _names_differ(cls, arms: tuple[ArmConfig, ...]) -> tuple[ArmConfig, ...]:
        names = [arm.name for arm in arms]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are named {repeated[0]!r}: give each a name of its own")
        return arms

    @pydantic.model_validator(mode="after")
    def _arms_fit_the_scheme(self) -> "SimulationConfig":
        for arm in self.arms:
            scheme, where = self.scheme_of(arm), f"in arm {arm.name!r}"
            if self.reading_of(arm) != "values" and self.patch_size % scheme.block_size:
                raise ValueError(
                    f"reading {where}: model.patch_size={self.patch_size} must be a multiple of "
                    f"scheme.block_size={scheme.block_size}, as patches that cut a block see different values of it"
                )
            if not arm.adapt_embedding:
                continue
            if self.reading_of(arm) != "values":
                raise ValueError(
                    f"adapt_embedding {where}: reading={self.reading_of(arm)} has no order that an embedding could "
                    "adapt to"
                )
            if not self.model.position_embedding:
                raise ValueError(
                    f"adapt_embedding {where}: it takes the order of blocks into the position embedding, which "
                    "model.position_embedding=false leaves out"
                )
            if not _registered(scheme.name).adaptable or scheme.own.get("pixel_order") == "block":
                raise ValueError(
                    f"adapt_embedding {where}: an embedding can take in permutations alone, so the scheme "
                    f"must be one of {', '.join(_schemes('adaptable'))} with one order of values for all blocks, got "
                    f"{scheme.name}"
                )
            if self.patch_size != scheme.block_size:
                raise ValueError(
                    f"adapt_embedding {where}: model.patch_size={self.patch_size} must be "
                    f"scheme.block_size={scheme.block_size}"
                )
        return self

    @property
    def patch_size(self) -> int:
        """The ViT's patch size in pixels."""
        return self.model.patch_size or self.scheme.block_size

    def scheme_of(self, arm: ArmConfig) -> SchemeConfig:
        """The scheme of an arm: that of all, with what the arm sets itself.

        Raises:
            ValueError: it does not take what the arm sets.
        """
        own = arm.own_scheme
        name = own.pop("scheme", self.scheme.name)
        for key in ("fixed_blocks", "fixed_pixels"):
            if key in own:
                _check_restricted(name, key, f"{key} in arm {arm.name!r}")
        for key in _FURTHER:
            if key in own and key not in _registered(name).parameters:
                raise ValueError(f"{key} in arm {arm.name!r}: the scheme {name} has none")
        shared = self.scheme.model_dump() if name == self.scheme.name else {"block_size": self.scheme.block_size}
        return SchemeConfig(**shared | {"name": name} | own)

    def reading_of(self, arm: ArmConfig) -> Reading:
        """How the model reads patches in an arm."""
        return arm.reading or self.model.reading


class EncryptConfig(Section):
    """Everything `dkjax encrypt` needs to know."""

    data: DataConfig
    keys: KeysConfig = KeysConfig()
    scheme: SchemeConfig = Field(default_factory=SchemeConfig)
    store: StoreConfig = StoreConfig()
    augment: AugmentConfig = AugmentConfig()


class ServerConfig(Section):
    """Everything `dkjax train` needs to know."""

    data: ServerDataConfig = ServerDataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


class PlanConfig(Section):
    """Everything `dkjax plan` needs to know: what of the configuration of another command decides a training step."""

    data: PlanDataConfig = PlanDataConfig()
    scheme: SchemeConfig = Field(default_factory=SchemeConfig)
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @property
    def patch_size(self) -> int:
        """The ViT's patch size in pixels."""
        return self.model.patch_size or self.scheme.block_size
