"""Small encrypted data sets, made without encrypting anything: to convert them nobody has to look at the images."""

from pathlib import Path

import numpy as np
import pytest
from odd_data_sets import CLASS_NAMES, Make

from dkjax import schemes
from dkjax.dkds import Description, Part, open_writer
from dkjax.dkds.manifest import ImageEntry, SchemeEntry


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a function that writes a data set of random images and returns its folder."""

    def write(
        name: str = "a.dkds",
        *,
        num_records: int = 11,
        shard_images: int = 4,
        shape: tuple[int, int, int] = (8, 12, 3),
        class_names: list[str] = CLASS_NAMES,
        empty_shard: int | None = None,
    ) -> Path:
        description = Description(
            keys="disposable",
            key_sharing="per_image",
            prng="chacha20",
            scheme=SchemeEntry.of(schemes.disposable(block_size=4, fixed_blocks=1)),
            image=ImageEntry(shape=list(shape), dtype="uint8"),
            class_names=class_names,
            views=2,
            part=Part(index=1, of=3),
        )
        rng = np.random.default_rng(num_records)
        path = tmp_path / name
        writing = open_writer(
            path, description, client="plant-a", num_items=num_records, shard_images=shard_images, request={}
        )
        with writing as writer:
            for number in writer.missing:
                count = 0 if number == empty_shard else len(writer.items_of(number))
                images = rng.integers(0, 256, (count, *shape), np.uint8)
                writer.add(
                    number, {"image": images, "label": rng.integers(0, len(class_names), count).astype(np.int32)}
                )
            writer.commit()
        return path

    return write


@pytest.fixture
def dkds(make: Make) -> Path:
    """A data set with a shard whose images could all not be read, and class names that are no names of folders."""
    return make(empty_shard=1)
