"""A prepared data set of TensorFlow Datasets in ArrayRecord files, written and read without TensorFlow.

Images are `Tensor` features stored as their bytes: exact for any number of channels, and no loader has to decode them.
TFDS writes its `Image` features with TensorFlow only.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.dkds import Manifest
from dkjax.dkds.convert.container import Container, unreadable
from dkjax.dkds.convert.stream import Chunk, RecordStream, ids_of, names_of, rows_at_a_time
from dkjax.errors import ConfigError

_NAME, _VERSION = "dkds", "1.0.0"


class TfdsContainer(Container):
    """A folder to give as `data_dir`, with one data set in it that is called `dkds`."""

    name = "tfds"
    title = "a TFDS data set in ArrayRecord files"

    def check(self, manifest: Manifest) -> None:
        """Refuse class names that TFDS would not give back: it keeps them as the lines of a text file."""
        for name in manifest.class_names:
            if name != name.strip() or len(name.splitlines()) != 1:
                raise ConfigError(f"TFDS cannot hold the class name {name!r}: convert --to parquet takes any name")

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write ArrayRecord files of as many records as the shards have, and what TFDS wants beside them."""
        import tensorflow_datasets as tfds

        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=manifest.image_shape, dtype=np.uint8, encoding="bytes"),
                "label": tfds.features.ClassLabel(names=manifest.class_names),
                "id": tfds.features.Text(),
            }
        )
        home = folder / _NAME / _VERSION
        home.mkdir(parents=True)
        identity = tfds.core.dataset_info.DatasetIdentity(
            name=_NAME, version=tfds.core.Version(_VERSION), data_dir=os.fspath(home), module_name=""
        )
        info = tfds.core.DatasetInfo(
            builder=identity,
            features=features,
            description=f"Encrypted images: {manifest.scheme.name} of dkjax, see dkds.json.",
            disable_shuffling=True,
        )
        records_a_file = max(entry.records for entry in manifest.shards)
        try:
            writer = tfds.core.SequentialWriter(info, records_a_file, file_format="array_record")
            writer.initialize_splits(["train"])
            for image, label, ids in records:
                columns = zip(image, label.tolist(), names_of(ids), strict=True)
                examples = [{"image": one, "label": number, "id": name} for one, number, name in columns]
                writer.add_examples({"train": examples})
            writer.close_all()
        except RuntimeError as error:
            raise _full_disk(error) or error from None

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read the split `train`."""
        import tensorflow_datasets as tfds

        home = path / _NAME / _VERSION
        rows = rows_at_a_time(manifest)
        try:
            source = tfds.builder_from_directory(home).as_data_source("train")
            for first in range(0, len(source), rows):
                yield _chunk(source.__getitems__(list(range(first, min(first + rows, len(source))))))
        except Exception as error:
            raise unreadable(home, error) from error

    def how_to_read(self, path: Path) -> str:
        """Name the builder; dkjax itself reads the source `tfds:dkds@PATH`."""
        return f'tfds.builder("{_NAME}", data_dir="{path}").as_data_source("train")'


def _chunk(records: list[dict[str, Any]]) -> Chunk:
    image = np.stack([record["image"] for record in records])
    label = np.array([record["label"] for record in records])
    return Chunk(image, label, ids_of([record["id"].decode() for record in records]))


def _full_disk(error: RuntimeError) -> OSError | None:
    """Find in the text of ArrayRecord's error which one of the system's it was."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return None
