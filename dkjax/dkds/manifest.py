"""The manifest of an encrypted data set: what is in it, and nothing that it should not tell.

It is read with suspicion: bounded in size, every field checked, and what it says of itself has to agree.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from dkjax import __version__
from dkjax.cipher import Scheme, schemes
from dkjax.cipher.blocks import block_shape
from dkjax.cipher.scheme import SchemeParameter
from dkjax.dkds import layout
from dkjax.errors import ArgumentError, DamagedDataSetError, DataError
from dkjax.formats import strict_json
from dkjax.prng import key_bits

VERSION = 1

# Larger whole numbers are not the same in every language's JSON.
_MAX_INTEGER = 2**53 - 1

_Count = Annotated[int, Field(ge=0, le=_MAX_INTEGER)]
_Positive = Annotated[int, Field(ge=1, le=_MAX_INTEGER)]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
# No control characters and no line ends: it is shown on terminals. Words of all scripts, spaces of all kinds.
_Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$", max_length=256)]

_Parameter = Annotated[_Count | bool | Annotated[float, Field(ge=0)] | _Name, Field(union_mode="left_to_right")]

# Pydantic checks the names of a dictionary; its JSON Schema says so only with this.
_NO_OTHER_NAMES = Field(json_schema_extra={"additionalProperties": False})


class _Entry(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # A default is for who writes; in the file every field stands.
        json_schema_serialization_defaults_required=True,
    )


class SchemeEntry(_Entry):
    """Which encryption, and a hash of that, so that two data sets can be compared at a glance."""

    name: _Word
    parameters: Annotated[dict[_Word, _Parameter], _NO_OTHER_NAMES]
    sha256: _Hash

    @classmethod
    def of(cls, scheme: Scheme) -> Self:
        """Describe a scheme.

        Raises:
            ArgumentError: it has no name under which another could make it.
        """
        parameters = schemes.parameters_of(scheme)
        return cls(name=scheme.name, parameters=parameters, sha256=_hash_of(scheme.name, parameters))

    @property
    def block_size(self) -> int:
        """The side of a block in pixels, which is all that training needs of a scheme."""
        return int(self.parameters["block_size"])

    @property
    def missing(self) -> str | None:
        """Say in one line that the scheme is not known here and what to do, or None where it is known."""
        if schemes.registered(self.name) is not None:
            return None
        return (
            f"the scheme {self.name} does not come with dkjax {__version__} and is not installed: its images can be "
            "trained on, but to know what they hide, install the package that registers it (docs/schemes.md)"
        )

    def scheme(self) -> Scheme:
        """Make the scheme that is described.

        Raises:
            ArgumentError: it is known here, but takes other parameters.
            DataError: it is not known here.
        """
        if self.missing is not None:
            raise DataError(self.missing)
        return schemes.by_name(self.name, **self.parameters)

    @pydantic.model_validator(mode="after")
    def _hash_agrees(self) -> Self:
        if self.sha256 != _hash_of(self.name, self.parameters):
            raise ValueError("the hash of the scheme is not that of its name and parameters")
        block_size = self.parameters.get("block_size")
        if type(block_size) is not int or block_size < 1:
            raise ValueError("parameters: block_size must be a whole number of at least 1")
        return self


class ImageEntry(_Entry):
    """What every image is like."""

    shape: Annotated[list[_Positive], Field(min_length=3, max_length=3, fail_fast=True)]
    dtype: Literal["uint8"]

    @pydantic.field_validator("shape")
    @classmethod
    def _of_bounded_size(cls, shape: list[int]) -> list[int]:
        height, width, channels = shape
        if height * width * channels > layout.MAX_IMAGE_BYTES:
            raise ValueError(f"an image of more than {layout.MAX_IMAGE_BYTES} bytes")
        return shape


class Part(_Entry):
    """Which share of a source was encrypted: record `i` belongs to part `i mod of`."""

    index: _Count = 0
    of: _Positive = 1

    @pydantic.model_validator(mode="after")
    def _index_is_below(self) -> Self:
        if self.index >= self.of:
            raise ValueError(f"part {self.index} of {self.of}: parts are counted from 0")
        return self


class ShardEntry(_Entry):
    """One file of records; without any, if none of its images could be read."""

    file: Annotated[str, Field(pattern=r"^shard-[0-9]{5,16}\.safetensors$")]
    sha256: _Hash
    bytes: _Positive
    records: _Count


class Description(_Entry):
    """What a data set says of itself whatever its shards hold.

    Attributes:
        keys: `disposable`, or `reproducible` where a seed gave them, which protects nothing.
        key_sharing: which images share a key: `per_image`, `per_client` or `shared`.
        prng: the PRNG of the keys.
        scheme: the encryption.
        image: shape `(H, W, C)` and dtype of every image.
        class_names: by label.
        views: how many encryptions of each image there are, under different keys.
        part: the share of the client's source that this is.
    """

    keys: Literal["disposable", "reproducible"]
    key_sharing: Literal["per_image", "per_client", "shared"]
    prng: _Word
    scheme: SchemeEntry
    image: ImageEntry
    class_names: Annotated[list[_Name], Field(min_length=1, max_length=layout.MAX_CLASSES, fail_fast=True)]
    views: _Positive
    part: Part

    @pydantic.field_validator("class_names")
    @classmethod
    def _class_names_differ(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("two classes have one name")
        return names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)` of every image."""
        height, width, channels = self.image.shape
        return height, width, channels


def describe(
    scheme: Scheme,
    image_shape: Sequence[int],
    class_names: Sequence[str],
    *,
    keys: Literal["disposable", "reproducible"] = "disposable",
    key_sharing: Literal["per_image", "per_client", "shared"] = "per_image",
    prng: str = "chacha20",
    views: int = 1,
    part: Part | None = None,
) -> Description:
    """Describe a data set that is going to be written.

    Args:
        scheme: the encryption.
        image_shape: `(H, W, C)` of the `uint8` images.
        class_names: by label.
        keys: as `Description`.
        key_sharing: as `Description`.
        prng: as `Description`.
        views: as `Description`.
        part: as `Description`; all of the source if None.

    Returns:
        The description.

    Raises:
        ArgumentError: the scheme has no name under which another could make it, or does not give back what it encrypts.
        DataError: something of it cannot be written, such as the name of a class.
    """
    height, width, channels = image_shape
    schemes.require_round_trip(scheme, (height, width, channels))
    try:
        return Description(
            keys=keys,
            key_sharing=key_sharing,
            prng=prng,
            scheme=SchemeEntry.of(scheme),
            image=ImageEntry(shape=list(image_shape), dtype="uint8"),
            class_names=list(class_names),
            views=views,
            part=part or Part(index=0, of=1),
        )
    except pydantic.ValidationError as error:
        raise DataError(f"these images cannot become an encrypted data set: {first_problem(error)}") from None


class Manifest(Description):
    """The whole manifest; its fields are those of the file.

    Attributes:
        format: always `dkds`.
        version: of the format.
        id: 128 random bits, in hexadecimal digits; every shard carries them too.
        client: a pseudonym.
        date: the day the data set was finished, in UTC.
        records: how many, over all shards.
        shards: in order.
        software: versions that wrote it.
    """

    format: Literal["dkds"] = "dkds"
    version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    client: _Word
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    records: _Positive
    shards: Annotated[list[ShardEntry], Field(min_length=1, fail_fast=True)]
    software: Annotated[dict[_Word, _Name], _NO_OTHER_NAMES]

    @pydantic.field_validator("date")
    @classmethod
    def _is_in_the_calendar(cls, date: str) -> str:
        datetime.date.fromisoformat(date)
        return date

    @pydantic.model_validator(mode="after")
    def _shards_agree(self) -> Self:
        for number, shard in enumerate(self.shards):
            if shard.file != layout.shard_name(number):
                raise ValueError(f"shard {number} is called {shard.file!r}, not {layout.shard_name(number)}")
        if len({shard.sha256 for shard in self.shards}) != len(self.shards):
            raise ValueError("two shards have one hash")
        counted = sum(shard.records for shard in self.shards)
        if counted != self.records:
            raise ValueError(f"the shards hold {counted} records, not {self.records}")
        return self

    def to_bytes(self) -> bytes:
        """Return the bytes of the file."""
        tree = self.model_dump(mode="json")
        first = ("format", "version", "id", "client", "date")
        ordered = {name: tree[name] for name in (*first, *(name for name in tree if name not in first))}
        return (json.dumps(ordered, indent=2, ensure_ascii=False) + "\n").encode()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest from the bytes of its file.

    Args:
        data: the bytes.
        where: the file, for messages.

    Returns:
        The checked manifest.

    Raises:
        DamagedDataSetError: kind `manifest`: not JSON, a field missing, unknown or wrong, or fields that disagree.

    Guarantees:
        - any bytes give a manifest or this error, on one line (`test_manifest.py::test_any_bytes`,
          `test_manifest.py::test_any_change`).
        - memory stays within a small multiple of the bytes (`test_manifest.py::test_bounded_memory`).
        - no name of a shard leads out of the folder (`test_manifest.py::test_no_way_out_of_the_folder`).
    """
    try:
        tree = strict_json.parse(data)
        if not isinstance(tree, dict) or tree.get("format") != "dkds":
            raise ValueError('it does not say "format": "dkds"')
        version = tree.get("version")
        if type(version) is not int or version != VERSION:
            raise ValueError(f"format version {version!r}; this dkjax reads version {VERSION}: install a newer one")
        manifest = Manifest.model_validate(tree)
        _check_meaning(manifest)
    except pydantic.ValidationError as error:
        raise _damaged(where, first_problem(error)) from None
    except (ValueError, ArgumentError) as error:
        raise _damaged(where, str(error)) from None
    return manifest


def first_problem(error: pydantic.ValidationError) -> str:
    """Say on one line which field is wrong first, and why."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return strict_json.one_line(f"{place}: {message}" if place else message)


def is_word(text: str) -> bool:
    """Say whether a text can be a pseudonym: letters, digits, `.`, `_` and `-`, at most 64."""
    try:
        pydantic.TypeAdapter(_Word).validate_python(text)
    except pydantic.ValidationError:
        return False
    return True


def _check_meaning(manifest: Manifest) -> None:
    """Raise `ValueError` or `ArgumentError` for what no single field shows."""
    if manifest.part.model_fields_set != {"index", "of"}:
        raise ValueError("part: index and of are both needed")
    block_shape(manifest.image_shape, manifest.scheme.block_size)
    registration = schemes.registered(manifest.scheme.name)
    # A user's own scheme is code that no data set has to run for being read.
    if registration is not None and registration.shipped:
        scheme = manifest.scheme.scheme()
        if SchemeEntry.of(scheme) != manifest.scheme:
            raise ValueError(f"scheme.parameters: {manifest.scheme.name} has other ones, or more")
        scheme.check(manifest.image_shape, manifest.image.dtype)
    key_bits(manifest.prng)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest, as it is kept in docs/dkds.schema.json."""
    schema = Manifest.model_json_schema(mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        # The attributes of a class are told in Python's way.
        part["description"] = part["description"].partition("\n\n")[0]
    schema["description"] = "manifest.json of an encrypted data set; docs/dkds.md says what the fields mean."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "dkds manifest"}


def _damaged(where: str, problem: str) -> DamagedDataSetError:
    text = f"{where} is no manifest of an encrypted data set: {strict_json.one_line(problem)}"
    return DamagedDataSetError("manifest", text)


def _hash_of(name: str, parameters: Mapping[str, SchemeParameter]) -> str:
    text = json.dumps({"name": name, "parameters": dict(parameters)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
