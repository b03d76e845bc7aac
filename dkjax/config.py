"""Typed configuration, read from TOML.

A configuration is a tree of frozen models. Unknown keys are errors that suggest the nearest known one; numbers out of
range are errors before anything is computed. `resolved` is the whole of it with every default filled in, and
`config_hash` names what of it decides the results: two runs with the same hash were asked for the same thing.
"""

import difflib
import hashlib
import json
import math
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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

from dkjax.errors import ConfigError

FixedCount = Annotated[int | str, Field(union_mode="left_to_right")]
"""How many positions stay in place: a number, or a share of them such as `"75%"`."""

Fraction = Annotated[float, Field(ge=0, lt=1)]

SchemeName = Literal[
    "disposable", "horio", "qi", "etc", "le", "ele", "pe", "orthogonal", "patch_shuffle", "negative_positive"
]
"""The schemes of `dkjax.schemes`."""

RESTRICTED_SCHEMES = ("disposable", "horio")
"""Schemes that leave positions at their place: those with `fixed_blocks` and `fixed_pixels`."""

ADAPTABLE_SCHEMES = ("disposable", "horio", "qi")
"""Schemes whose key the ViT's embedding can take in: a permutation of blocks and one of values."""

ARM_KINDS = ("plain", "disposable", "client_key", "shared_key")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _check_fixed(value: int | str) -> int | str:
    if isinstance(value, str) and (not re.fullmatch(r"\d{1,3}%", value) or int(value[:-1]) > 100):
        raise ValueError(f'expected a count or a share from "0%" to "100%", got {value!r}')
    if isinstance(value, int) and value < 0:
        raise ValueError(f"expected a count of at least 0, got {value}")
    return value


def _check_restricted(scheme: str, where: str) -> None:
    if scheme not in RESTRICTED_SCHEMES:
        raise ValueError(
            f"{where}: the scheme {scheme} leaves nothing at its place; {' and '.join(RESTRICTED_SCHEMES)} do"
        )


def fixed_count(value: int | str, total: int) -> int:
    """Turn a count or a share of `total` into a count, rounding down.

    Args:
        value: a count, or a share such as `"75%"`, as `_check_fixed` lets pass.
        total: the number of positions there are.

    Returns:
        The count. A count above `total` is returned as it is; the scheme refuses it for the image at hand.
    """
    return value if isinstance(value, int) else total * int(value[:-1]) // 100


class _SplitConfig(_Section):
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: NonNegativeInt = 0
    test_images: PositiveInt | None = None


class ServerDataConfig(_SplitConfig):
    """`[data]` as far as the server cares: which images of a source are for testing. The rest is the clients'."""

    model_config = ConfigDict(extra="ignore")


class _ImagesConfig(_SplitConfig):
    image_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    channels: Literal[1, 3] | None = None
    train_images: PositiveInt | None = None

    @pydantic.field_validator("image_size", mode="before")
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


class ClientsConfig(_Section):
    """`[clients]`: how the training images lie with the clients, and how often they upload."""

    count: PositiveInt = 4
    partition: Literal["iid", "dirichlet", "shards"] = "iid"
    alpha: PositiveFloat = 1.0
    shards_per_client: PositiveInt = 2
    seed: NonNegativeInt = 0
    rounds: PositiveInt = 1
    train_on: Literal["all", "newest"] = "all"


class KeysConfig(_Section):
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


class SchemeConfig(_Section):
    """`[scheme]`: the encryption; an arm may override the fixed positions."""

    name: SchemeName = "disposable"
    block_size: PositiveInt = 16
    fixed_blocks: FixedCount = 0
    fixed_pixels: FixedCount = 0

    _fixed = pydantic.field_validator("fixed_blocks", "fixed_pixels")(_check_fixed)

    @pydantic.model_validator(mode="after")
    def _parameters_belong_to_the_scheme(self) -> "SchemeConfig":
        if self.name == "orthogonal":
            raise ValueError(
                "orthogonal gives floating point images, and clients upload uint8 ones: use dkjax.schemes.orthogonal "
                "in Python, or choose another scheme"
            )
        if self.name == "pe" and self.block_size != 1:
            raise ValueError(
                "pe encrypts pixel by pixel: set block_size = 1, and the ViT's patches by model.patch_size"
            )
        for key in ("fixed_blocks", "fixed_pixels"):
            if getattr(self, key) != 0:
                _check_restricted(self.name, key)
        return self


class StoreConfig(_Section):
    """`[store]`: encrypted data sets on disk."""

    shard_images: PositiveInt | None = None
    on_disk: bool = False


class AugmentConfig(_Section):
    """`[augment]`: random changes that a client makes to its images before it encrypts them."""

    flip: bool = False
    crop: NonNegativeInt = 0
    rand_augment: tuple[PositiveInt, Annotated[int, Field(ge=0, le=30)]] | None = None

    @pydantic.field_validator("rand_augment", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class ModelConfig(_Section):
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
    pretrained: Annotated[Path, Field(strict=False)] | None = None
    pretrained_mean: tuple[float, ...] | None = None
    pretrained_std: tuple[PositiveFloat, ...] | None = None

    @pydantic.field_validator("pretrained_mean", "pretrained_std", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _normalisation_is_of_a_checkpoint(self) -> "ModelConfig":
        if self.pretrained is None and (self.pretrained_mean, self.pretrained_std) != (None, None):
            raise ValueError("pretrained_mean and pretrained_std say what a checkpoint was trained on: set pretrained")
        return self

    def settings(self) -> dict[str, Any]:
        """What `dkjax.models.vit.vit` takes, the patch size aside."""
        return self.model_dump(exclude={"patch_size", "pretrained", "pretrained_mean", "pretrained_std"})


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
_REGION = "a rectangle of it is no region of the picture; model.patch_dropout leaves patches out"
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


class TrainConfig(_Section):
    """`[train]`: the server's training, the same for every arm."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 128
    client_weights: Annotated[ClientWeights, BeforeValidator(_check_weights)] = "records"
    learning_rate: PositiveFloat = 1e-3
    warmup_fraction: Fraction = 0.1
    weight_decay: NonNegativeFloat = 0.05
    clip_norm: PositiveFloat | None = 1.0
    label_smoothing: Fraction = 0.0
    mixup: NonNegativeFloat = 0.0
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
        if self.mixup and self.batch_size // self.accumulate % 2:
            raise ValueError(
                f"mixup takes images in pairs: batch_size={self.batch_size} over accumulate={self.accumulate} must be "
                "an even number"
            )
        return self


class ArmConfig(_Section):
    """`[[arms]]`: one line of the comparison. Its name begins with its kind."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    fixed_blocks: FixedCount | None = None
    fixed_pixels: FixedCount | None = None
    adapt_embedding: bool = False

    @pydantic.field_validator("fixed_blocks", "fixed_pixels")
    @classmethod
    def _fixed(cls, value: int | str | None) -> int | str | None:
        return None if value is None else _check_fixed(value)

    @pydantic.model_validator(mode="after")
    def _kind_fits(self) -> "ArmConfig":
        if not self.name.startswith(ARM_KINDS):
            raise ValueError(f"the arm {self.name!r} must begin with one of {', '.join(ARM_KINDS)}")
        if self.adapt_embedding and self.kind != "shared_key":
            raise ValueError(
                f"adapt_embedding in arm {self.name!r}: it exists for shared_key arms alone, "
                "since no single embedding undoes more than one key"
            )
        if self.kind == "plain" and (self.fixed_blocks, self.fixed_pixels) != (None, None):
            raise ValueError(f"fixed_blocks and fixed_pixels in arm {self.name!r}: plain images are not encrypted")
        return self

    @property
    def kind(self) -> str:
        """Who shares a key with whom: `plain`, `disposable`, `client_key` or `shared_key`."""
        return next(kind for kind in ARM_KINDS if self.name.startswith(kind))


class SimulationConfig(_Section):
    """Everything `dkjax simulate` needs to know."""

    data: DataConfig
    clients: ClientsConfig = ClientsConfig()
    keys: KeysConfig = KeysConfig()
    scheme: SchemeConfig = SchemeConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    store: StoreConfig = StoreConfig()
    augment: AugmentConfig = AugmentConfig()
    arms: Annotated[tuple[ArmConfig, ...], Field(min_length=1)]

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
            for key in ("fixed_blocks", "fixed_pixels"):
                if getattr(arm, key) is not None:
                    _check_restricted(self.scheme.name, f"{key} in arm {arm.name!r}")
            if not arm.adapt_embedding:
                continue
            if self.scheme.name not in ADAPTABLE_SCHEMES:
                raise ValueError(
                    f"adapt_embedding in arm {arm.name!r}: an embedding can take in permutations alone, so the scheme "
                    f"must be one of {', '.join(ADAPTABLE_SCHEMES)}, got {self.scheme.name}"
                )
            if self.patch_size != self.scheme.block_size:
                raise ValueError(
                    f"adapt_embedding in arm {arm.name!r}: model.patch_size={self.patch_size} must be "
                    f"scheme.block_size={self.scheme.block_size}"
                )
        return self

    @property
    def patch_size(self) -> int:
        """The ViT's patch size in pixels."""
        return self.model.patch_size or self.scheme.block_size


class EncryptConfig(_Section):
    """Everything `dkjax encrypt` needs to know."""

    data: DataConfig
    keys: KeysConfig = KeysConfig()
    scheme: SchemeConfig = SchemeConfig()
    store: StoreConfig = StoreConfig()
    augment: AugmentConfig = AugmentConfig()


class ServerConfig(_Section):
    """Everything `dkjax train` needs to know."""

    data: ServerDataConfig = ServerDataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


class PlanConfig(_Section):
    """Everything `dkjax plan` needs to know: what of the configuration of another command decides a training step."""

    data: PlanDataConfig = PlanDataConfig()
    scheme: SchemeConfig = SchemeConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @property
    def patch_size(self) -> int:
        """The ViT's patch size in pixels."""
        return self.model.patch_size or self.scheme.block_size


_KINDS: tuple[type[_Section], ...] = (SimulationConfig, EncryptConfig, ServerConfig, PlanConfig)
_Kind = TypeVar("_Kind", bound=_Section)


def load_config(path: Path, overrides: Sequence[str] = ()) -> SimulationConfig:
    """Read a simulation's configuration; see `load_as`."""
    return load_as(SimulationConfig, path, overrides)


def load_as(kind: type[_Kind], path: Path | None, overrides: Sequence[str] = (), **given: Mapping[str, Any]) -> _Kind:
    """Read a configuration from a TOML file and apply overrides.

    Args:
        kind: which configuration. One file serves all commands: sections that only another kind knows are passed over,
            but a simulation passes over nothing.
        path: the TOML file; None for defaults alone.
        overrides: `section.key=value` each; the value is read as TOML, or as text where it is not TOML. Arms are
            counted from 0, as in `arms.1.fixed_blocks=12`.
        **given: values of a section that come from elsewhere, such as `data={"source": "digits"}`; they win over
            file and overrides.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or does not say something usable; one line that names the
            key and the way out.
    """
    tree = {} if path is None else _read_toml(path)
    for override in overrides:
        _override(tree, override)
    for section, values in given.items():
        if not isinstance(tree.setdefault(section, {}), dict):
            raise ConfigError(f"{path}: {section} must be a section, [{section}]")
        tree[section].update(values)
    if kind is not SimulationConfig:
        of_others = {name for other in _KINDS for name in other.model_fields} - set(kind.model_fields)
        tree = {name: value for name, value in tree.items() if name not in of_others}
    return parse_as(kind, tree, "configuration" if path is None else str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration {path}; the recipes that come along are in configs/") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def parse_config(tree: dict[str, Any], where: str = "configuration") -> SimulationConfig:
    """Check a simulation's configuration given as plain values; see `parse_as`."""
    return parse_as(SimulationConfig, tree, where)


def parse_as(kind: type[_Kind], tree: dict[str, Any], where: str = "configuration") -> _Kind:
    """Check a configuration given as plain values.

    Args:
        kind: which configuration.
        tree: sections and their keys, as TOML gives them.
        where: what to call it in errors.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: as `load_as`.
    """
    try:
        return kind.model_validate(tree)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(kind, error.errors()))) from None


def resolved(config: BaseModel) -> dict[str, Any]:
    """The whole configuration as plain JSON values, defaults filled in."""
    return config.model_dump(mode="json")


_ARRANGEMENT = {"model": ("remat",), "train": ("fsdp", "input")}


def asked_for(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a resolved configuration decides the results.

    How the work is laid out over devices and memory is left out: a training may go on with another layout.

    Args:
        config: what `resolved` gave.
    """
    return {
        section: {key: value for key, value in values.items() if key not in _ARRANGEMENT.get(section, ())}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }


def config_hash(config: BaseModel) -> str:
    """SHA-256 of what a configuration asks for (see `asked_for`), 64 hexadecimal digits."""
    text = json.dumps(asked_for(resolved(config)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which of the known words was probably meant, or which there are.

    Args:
        word: what came.
        known: what there is.

    Returns:
        A clause such as `did you mean 'alpha'?`.
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _override(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name or "\n" in override:
        raise ConfigError(f"--set {override}: expected section.key=value, such as train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = name.split(".")
    node: Any = tree
    for parent in parents:
        node = _child(node, parent, override)
    if isinstance(node, dict):
        node[last] = value
    elif isinstance(node, list) and last.isdecimal() and int(last) < len(node):
        node[int(last)] = value
    else:
        raise ConfigError(f"--set {override}: {'.'.join(parents)} has no keys of its own")


def _child(node: Any, name: str, override: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(name, {})
    if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    count = f"; there are {len(node)}, counted from 0" if isinstance(node, list) else ""
    raise ConfigError(f"--set {override}: there is no {name!r}{count}")


def _explain(root: type[BaseModel], details: Sequence[Any]) -> list[str]:
    """What pydantic found: one clause for each place, the branches of a union joined by "or"."""
    clauses: dict[str, str] = {}
    for detail in details:
        place, section = _place(root, detail["loc"])
        dotted = ".".join(map(str, place))
        match detail["type"]:
            case "extra_forbidden":
                unknown = detail["loc"][-1]
                dotted = ".".join(map(str, [*place, unknown]))
                clauses[dotted] = f"unknown key {dotted}; {nearest(str(unknown), list(section.model_fields))}"
            case "missing":
                clauses[dotted] = f"{dotted} is missing"
            case "value_error":
                clauses[dotted] = f"{dotted}: {detail['ctx']['error']}".removeprefix(": ")
            case _:
                wanted = re.sub(r"^\w+ should (be |have |match )?", "", detail["msg"]).partition(" or instance of")[0]
                came = f", got {detail['input']!r}"
                before = clauses.get(dotted, f"{dotted}: expected ").removesuffix(came)
                clauses[dotted] = f"{before}{' or ' if dotted in clauses else ''}{wanted}{came}"
    # A list whose members are all wrong is also reported as too short.
    return [clause for place, clause in clauses.items() if not any(other.startswith(f"{place}.") for other in clauses)]


def _place(root: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[int | str], type[BaseModel]]:
    """The part of a pydantic location that is keys and counts of ours, and the section it ends in."""
    place: list[int | str] = []
    section = root
    for part in loc:
        if isinstance(part, str):
            if part not in section.model_fields:
                break  # an unknown key, or the name of a branch of a union
            annotation = section.model_fields[part].annotation
            if typing.get_origin(annotation) is tuple:
                annotation = typing.get_args(annotation)[0]
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                section = annotation
        place.append(part)
    return place, section
