"""How the files of an encrypted data set are called, and how large they may be."""

import math
from collections.abc import Sequence
from pathlib import Path

MANIFEST = "manifest.json"
COMMIT = "COMMIT"
PLAN = ".plan.json"
"""What an unfinished data set has in place of its manifest; it goes when the data set is committed."""

SUFFIX = ".dkds"

MAX_MANIFEST_BYTES = 16 << 20
MAX_SHARD_HEADER_BYTES = 64 << 10
MAX_IMAGE_BYTES = 1 << 30
MAX_CLASSES = 1 << 16

ID_BYTES = 16

RECORD_BYTES = 4 + ID_BYTES + 4
"""What a record takes beside its image: label, id and checksum."""

_SHARD_BYTES = 128 << 20
_CHUNK = 256


def shard_name(number: int) -> str:
    """Return the file name of a shard, counted from 0."""
    return f"shard-{number:05d}.safetensors"


def packed_name(number: int) -> str:
    """Return the file name of a packed shard, counted from 0."""
    return f"shard-{number:05d}.dkpack"


def is_packed(path: Path) -> bool:
    """Say whether a data set's folder holds packed shards."""
    return any(path.glob("shard-*.dkpack"))


def default_shard_images(image_shape: Sequence[int]) -> int:
    """Return how many `uint8` images make a shard of about 128 MiB: a multiple of the chunks they are encrypted in."""
    images = _SHARD_BYTES // math.prod(image_shape)
    return images // _CHUNK * _CHUNK if images >= _CHUNK else max(1, images)
