"""Encrypted data sets of a few kilobytes, written in milliseconds; the images in them are noise."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dkjax import schemes
from dkjax.dkds import Description, Manifest, Part, open_writer
from dkjax.dkds.data_set import commit_of
from dkjax.dkds.manifest import ImageEntry, SchemeEntry

RECORDS, SHARD, SHAPE = 25, 10, (4, 4, 3)
CLASSES = ["scratch", "dent", "whole"]


def describe(**changes: Any) -> Description:
    fields: dict[str, Any] = {
        "keys": "disposable",
        "key_sharing": "per_image",
        "prng": "chacha20",
        "scheme": SchemeEntry.of(schemes.disposable(block_size=2)),
        "image": ImageEntry(shape=list(SHAPE), dtype="uint8"),
        "class_names": CLASSES,
        "views": 1,
        "part": Part(),
    }
    return Description(**{**fields, **changes})


def write_small(
    path: Path,
    *,
    seed: bytes | None = None,
    noise: int = 0,
    client: str | None = "plant-a",
    records: int = RECORDS,
    shard_images: int = SHARD,
    label: int | None = None,
    **changes: Any,
) -> Manifest:
    """Write a data set of noise; `noise` tells which, `seed` its order and ids, `label` a label for all."""
    random = np.random.default_rng(noise)
    description = describe(**changes)
    writing = open_writer(
        path, description, client=client, num_items=records, shard_images=shard_images, request={}, seed=seed
    )
    with writing as writer:
        for number in writer.missing:
            count = len(writer.items_of(number))
            images = random.integers(0, 256, (count, *description.image_shape), np.uint8)
            labels = random.integers(0, len(description.class_names), count).astype(np.int32)
            writer.add(number, {"image": images, "label": labels if label is None else np.full(count, label, np.int32)})
        return writer.commit()


def shard_of(path: Path, number: int) -> Path:
    return path / f"shard-{number:05d}.safetensors"


def header_length(shard: Path) -> int:
    """The bytes before the tensors of a shard."""
    return 8 + int.from_bytes(shard.read_bytes()[:8], "little")


def offset_of(shard: Path, tensor: str) -> int:
    """Where a tensor begins in the file of a shard."""
    first = header_length(shard)
    return first + json.loads(shard.read_bytes()[8:first])[tensor]["data_offsets"][0]


def flip(path: Path, place: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def commit_again(path: Path) -> None:
    """Let COMMIT belong to the manifest that there is now."""
    (path / "COMMIT").write_bytes(commit_of((path / "manifest.json").read_bytes()))


def edit_manifest(path: Path, place: tuple[str | int, ...], value: Any, *, commit: bool) -> None:
    """Change one field of a manifest, and let COMMIT belong to it again or not."""
    tree = json.loads((path / "manifest.json").read_text())
    node = tree
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    (path / "manifest.json").write_text(json.dumps(tree))
    if commit:
        commit_again(path)
