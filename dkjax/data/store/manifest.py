"""The manifest of an encrypted data set: what is in it, and nothing that it should not tell.

It is read with suspicion: bounded in size, every field checked, and what it says of itself has to agree.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from dkjax.cipher import Scheme, schemes
from dkjax.data.store import layout
from dkjax.errors import ArgumentError, DamagedDataSetError

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


def is_word(text: str) -> bool:
    """Say whether a text can be a pseudonym: letters, digits, dots, dashes and underscores, at most 64 of them."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SchemeEntry(_Entry):
    """Which encryption, and a hash of that, so that two data sets can be compared at a glance."""

    name: _Word
    parameters: dict[_Word, NonNegativeInt]
    sha256: _Hash

    @classmethod
    def of(cls, scheme: Scheme) -> Self:
        """Describe a scheme."""
        parameters = schemes.parameters_of(scheme)
        return cls(name=scheme.name, parameters=parameters, sha256=_hash_of(scheme.name, parameters))

    def scheme(self) -> Scheme:
        """Make the scheme that is described.

        Raises:
            ArgumentError: this version of dkjax does not know it.
        """
        return schemes.by_name(self.name, **self.parameters)

    @pydantic.model_validator(mode="after")
    def _hash_agrees(self) -> Self:
        if self.sha256 != _hash_of(self.name, self.parameters):
            raise ValueError("the hash of the scheme is not that of its name and parameters")
        return self


class ImageEntry(_Entry):
    """What every image is like."""

    shape: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)]
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

    index: NonNegativeInt = 0
    of: PositiveInt = 1

    @pydantic.model_validator(mode="after")
    def _index_is_below(self) -> Self:
        if self.index >= self.of:
            raise ValueError(f"part {self.index} of {self.of}: parts are counted from 0")
        return self


class ShardEntry(_Entry):
    """One file of records; without any, if none of its images could be read."""

    file: str
    sha256: _Hash
    bytes: PositiveInt
    records: NonNegativeInt


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
    class_names: Annotated[list[str], Field(min_length=1)]
    views: PositiveInt
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
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    records: PositiveInt
    shards: Annotated[list[ShardEntry], Field(min_length=1)]
    software: dict[str, str]

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
    """
    try:
        tree = json.loads(data.decode("utf-8"))
        if isinstance(tree, Mapping) and tree.get("format") == "dkds" and tree.get("version") != 1:
            version = tree.get("version")
            raise ValueError(f"format version {version!r}; this dkjax reads version 1: install a newer one")
        manifest = Manifest.model_validate(tree)
        manifest.scheme.scheme()
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(where, f"{place}: {first['msg']}" if place else first["msg"]) from None
    except (ValueError, RecursionError, ArgumentError) as error:
        raise _damaged(where, str(error) or type(error).__name__) from None
    return manifest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest, as it is kept in docs/dkds.schema.json."""
    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _damaged(where: str, problem: str) -> DamagedDataSetError:
    return DamagedDataSetError("manifest", f"{where} is no manifest of an encrypted data set: {problem}")


def _hash_of(name: str, parameters: Mapping[str, int]) -> str:
    text = json.dumps({"name": name, "parameters": dict(parameters)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
