"""Data sets of Hugging Face on disk: what `save_to_disk` wrote, or Parquet files as the hub has them."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dkjax.errors import DataError, MissingPackageError
from dkjax.sources.class_names import normalised
from dkjax.sources.encoded_images import EncodedImagesSource, numbered
from dkjax.sources.folder_layout import split_of
from dkjax.sources.preparation import AS_IS, Preparation

_LABELS = ("label", "labels", "fine_label", "class", "target")


def is_saved_to_disk(folder: Path) -> bool:
    """Say whether a folder is what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def open_hugging_face(
    path: Path,
    image_size: tuple[int, int] | None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[EncodedImagesSource]]:
    """Open a data set of Hugging Face, without its cache and without the network.

    Args:
        path: a folder that `save_to_disk` wrote, which is mapped; or a Parquet file, which is read into memory, still
            encoded.
        image_size: (H, W); needed.
        channels: 3 or 1; 3 if None.
        classes: what the labels are called where the data set does not say.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        A function that opens the source, for `train` and, where there are such splits, for `test` (`test`, else
        `validation`).

    Raises:
        MissingPackageError: datasets or pyarrow is not installed.
        DataError: it cannot be read, or has no images with labels.

    Guarantees:
        - images and labels are those that were saved (`tests/sources/test_hugging_face.py::test_saved_to_disk`).
    """
    tables = _saved(path) if path.is_dir() else {"train": _parquet(path)}
    found = {split_of(name) or name: table for name, table in tables.items()}
    if "train" not in found:
        raise DataError(f"{path} has no split train, only {', '.join(tables)}")
    wanted = {"train": found["train"]}
    if test := found.get("test", found.get("validation")):
        wanted["test"] = test
    return {
        split: partial(_open_split, f"{path} ({split})", table, image_size, channels, classes, preparation)
        for split, table in wanted.items()
    }


def _open_split(
    where: str,
    table: Any,
    image_size: tuple[int, int] | None,
    channels: int | None,
    classes: Sequence[str] | None,
    preparation: Preparation,
) -> EncodedImagesSource:
    features = _features(table)
    image = next((name for name, kind in features.items() if kind.get("_type") == "Image"), None)
    label = next((name for name, kind in features.items() if kind.get("_type") == "ClassLabel"), None)
    label = label or next((name for name in _LABELS if name in table.column_names), None)
    if image is None or label is None:
        raise DataError(f"{where} has the columns {', '.join(table.column_names)}; expected images and labels")
    known = features.get(label, {}).get("names")
    names = None if known is None else [normalised(name, where) for name in known]
    labels, class_names = numbered(table.column(label).to_pylist(), names or classes)
    pictures = table.column(image)

    def read(position: int) -> bytes:
        value = pictures[position].as_py() or {}
        if value.get("bytes") is None:
            raise DataError(f"{where}: image {position} is not in the data set, which names a file beside it alone")
        return value["bytes"]

    return EncodedImagesSource(read, labels, class_names, image_size, channels, where, preparation)


def _features(table: Any) -> Mapping[str, Any]:
    """What Hugging Face says of the columns; without it, columns of encoded images are told by their fields."""
    told = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(told)["info"]["features"] if told else {}
    except (ValueError, KeyError, TypeError):
        features = {}
    if features:
        return features
    return {field.name: {"_type": "Image"} for field in table.schema if "bytes: binary" in str(field.type)}


def _saved(folder: Path) -> dict[str, Any]:
    """The tables of a folder that `save_to_disk` wrote, mapped."""
    try:
        import datasets
    except ImportError:
        raise MissingPackageError(f"{folder} needs datasets, which is not installed: pip install datasets") from None
    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:
        # The library raises whatever Arrow and JSON trip over.
        raise DataError(f"{folder} cannot be read: {' '.join(str(error).split())}") from None
    several = saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    # `save_to_disk` writes rows in their order, so that the table is the data set.
    return {str(name): one.data.table for name, one in several.items()}


def _parquet(file: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackageError(f"{file} needs pyarrow, which is not installed: pip install pyarrow") from None
    try:
        return pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} is no Parquet file: {' '.join(str(error).split())}") from None
