"""Data sets of TensorFlow Datasets, prepared without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def prepare_tfds(
    folder: Path,
    name: str,
    splits: dict[str, list[dict[str, Any]]],
    image: Any = None,
    label: Any = None,
    version: str = "1.0.0",
) -> Path:
    """Prepare a data set of the given records below a folder, and return the folder.

    TFDS writes `Image` features with TensorFlow only. On disk they are the encoded bytes, so the data are written as
    bytes; a data set whose code TFDS knows is read with the features of that code.
    """
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": image or tfds.features.Tensor(shape=(8, 8, 3), dtype=np.uint8),
            "label": label or tfds.features.ClassLabel(names=["cat", "dog"]),
        }
    )

    class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg,misc]
        VERSION = tfds.core.Version(version)
        name: str

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _: Any) -> dict[str, Any]:
            return {split: self._generate_examples(records) for split, records in splits.items()}

        def _generate_examples(self, records: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
            yield from enumerate(records)

    Prepared.name = name
    tfds.disable_progress_bar()
    # The order of the records comes from hashes of their keys.
    Prepared(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def prepare_cifar10(folder: Path, splits: dict[str, list[dict[str, Any]]]) -> Path:
    """Prepare encoded images, `image` bytes and `label` below 10, under the name and version of CIFAR-10."""
    import tensorflow_datasets as tfds

    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    label = tfds.features.ClassLabel(names=names)
    version = str(tfds.builder_cls("cifar10").VERSION)
    return prepare_tfds(folder, "cifar10", splits, tfds.features.Tensor(shape=(), dtype=np.str_), label, version)
