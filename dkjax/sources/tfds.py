"""Data sets that TensorFlow Datasets has prepared, read without TensorFlow and without the network.

Preparing a data set needs TensorFlow, once, on any machine; its folder can then be copied. Reading goes through
`as_data_source`, that is through ArrayRecord or Parquet files with random access. Encoded images are decoded by
`dkjax.sources.decode`, so the bytes do not depend on which decoders happen to be installed next to TFDS.
"""

import difflib
import re
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ConfigError, DataError
from dkjax.sources.decode import Unreadable, decode_images
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.resize import check_image_size, resize_images, to_channels
from dkjax.sources.source import Indices, Records, Skipped, check_labels, positions

# name[/config][:version]. No namespace, which would fetch code from elsewhere, and no arguments for the builder.
_NAME = re.compile(r"[a-z]\w*(/[\w.+-]+)?(:[\d*]+\.[\d*]+\.[\d*]+)?", re.ASCII)


class TfdsSource:
    """One split of a prepared data set with the features `image` and `label`.

    Args:
        builder: the `DatasetBuilder`.
        split: the name of a split.
        image_size: (H, W); the one the data set declares if None.
        channels: 1 or 3; those the data set declares if None.
        preparation: what becomes of other proportions and of more than 8 bits.

    Raises:
        DataError: the files are not in a format with random access.
        ConfigError: the data set declares no image size and none is given.

    Guarantees:
        Neither TensorFlow nor the network is used (`tests/sources/test_tfds.py::test_tensorflow_is_not_imported`).
    """

    def __init__(
        self,
        builder: Any,
        split: str,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        preparation: Preparation = AS_IS,
    ) -> None:
        import tensorflow_datasets as tfds

        features = builder.info.features
        self._encoded = isinstance(features["image"], tfds.features.Image)
        self._builder, self._split = builder, split
        self._records = _data_source(builder, split, decode_image=not self._encoded)
        self.class_names: tuple[str, ...] = tuple(features["label"].names)
        self.image_shape = _image_shape(builder, image_size, channels)
        self._preparation = preparation
        self._skipped: dict[int, Skipped] = {}

    @property
    def skipped(self) -> Sequence[Skipped]:
        """The records found unreadable so far, named `split/position`."""
        return tuple(self._skipped.values())

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The labels of all records; reads every record once, without decoding images."""
        only_labels = _data_source(self._builder, self._split, decode_image=False)
        try:
            labels = np.array([record["label"] for record in only_labels], np.int64)
        except Exception as error:
            raise DataError(
                f"a label of {self._name} cannot be read ({_line(error)}); copy or prepare it again"
            ) from error
        return check_labels(labels, len(self.class_names), self._name)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        numbers, records = self._read(chosen)
        images, labels = [], []
        for number, record, image in zip(numbers, records, self._decode(records), strict=True):
            if isinstance(image, Unreadable):
                self._skip(number, image.reason)
            else:
                images.append(image)
                labels.append(int(record["label"]))
        check_labels(np.array(labels, np.int64), len(self.class_names), self._name)
        stacked = np.stack(images) if images else np.empty((0, *self.image_shape), np.uint8)
        return {"image": stacked, "label": np.array(labels, np.int32)}

    @property
    def _name(self) -> str:
        return f"tfds:{self._builder.info.name} ({self._split})"

    def _skip(self, number: int, reason: str) -> None:
        self._skipped.setdefault(number, Skipped(f"{self._split}/{number}", reason))

    def _read(self, chosen: NDArray[np.int64]) -> tuple[list[int], list[dict[str, Any]]]:
        """Read records in one go, or one by one where one of them is damaged."""
        numbers = chosen.tolist()
        try:
            return numbers, list(self._records.__getitems__(numbers))
        except Exception:
            return self._read_one_by_one(numbers)

    def _read_one_by_one(self, numbers: list[int]) -> tuple[list[int], list[dict[str, Any]]]:
        readable, records = [], []
        for number in numbers:
            try:
                records.append(self._records[number])
                readable.append(number)
            except Exception as error:
                # The readers are C++ and protobuf; what a damaged record makes them raise is nowhere promised.
                self._skip(number, f"damaged record: {_line(error)}")
        return readable, records

    def _decode(self, records: list[dict[str, Any]]) -> list[NDArray[np.uint8] | Unreadable]:
        height, width, channels = self.image_shape
        if self._encoded:
            encoded = [bytes(record["image"]) for record in records]
            return decode_images(encoded, (height, width), channels, self._preparation)
        images = [np.asarray(record["image"], np.uint8)[None] for record in records]
        resize = self._preparation.resize
        return [resize_images(to_channels(image, channels), (height, width), resize)[0] for image in images]


def open_tfds(
    name: str,
    data_dir: Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[TfdsSource]]:
    """Open a prepared data set.

    Args:
        name: `name`, `name/config` or `name:version`, as TFDS calls it.
        data_dir: the folder below which it was prepared; if None TFDS's own default (`TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`).
        image_size: (H, W); the one that the data set declares if None.
        channels: 1 or 3; those that the data set declares if None.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        A function that opens the source, for `train` and, where there are labelled test images (`test`, else
        `validation`), for `test`.

    Raises:
        ConfigError: an unknown name, or a data set that is not images with class labels.
        DataError: the data set is not prepared.
    """
    import tensorflow_datasets as tfds

    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"tfds:{name} is no name of a data set; expected tfds:name, tfds:name/config or tfds:name:1.2.3"
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        nearest = difflib.get_close_matches(re.split("[/:]", name)[0], known, n=1)
        hint = f"did you mean tfds:{nearest[0]}?" if nearest else "see `tfds.list_builders()` for the names"
        raise ConfigError(
            f"TensorFlow Datasets has no data set {name!r}, neither as code nor prepared; {hint}"
        ) from error
    except ImportError as error:
        raise ConfigError(
            f"the code of tfds:{name} needs {error.name or 'a package'}, which is not installed; "
            f"name the version that is prepared (tfds:{name}:1.2.3) to read it without its code"
        ) from error
    except (ValueError, AssertionError) as error:
        raise ConfigError(f"tfds:{name} cannot be opened: {_line(error)}") from error
    if not builder.info.splits:
        raise DataError(f"tfds:{name} is not prepared in {builder.data_dir}; {_remedy(name)}")
    _check_features(name, builder.info.features)
    if "train" not in builder.info.splits:
        raise DataError(f"tfds:{name} has no split train, only {', '.join(builder.info.splits)}")
    splits = {"train": partial(TfdsSource, builder, "train", image_size, channels, preparation)}
    for candidate in ("test", "validation"):
        if candidate in builder.info.splits and _is_labelled(builder, candidate):
            splits["test"] = partial(TfdsSource, builder, candidate, image_size, channels, preparation)
            break
    return splits


def _check_features(name: str, features: Any) -> None:
    """Refuse data sets that are not 8-bit images with one class label each."""
    import tensorflow_datasets as tfds

    has = sorted(features) if isinstance(features, dict | tfds.features.FeaturesDict) else []
    if "image" not in has or "label" not in has or not isinstance(features["label"], tfds.features.ClassLabel):
        raise ConfigError(
            f"tfds:{name} has the features {', '.join(has) or type(features).__name__}; "
            "expected image (uint8) and label (ClassLabel)"
        )
    image = features["image"]
    if np.dtype(image.np_dtype) != np.uint8 or len(image.shape) != 3:
        raise ConfigError(f"tfds:{name} has images {image.np_dtype}{list(image.shape)}, expected uint8[H, W, C]")


def _image_shape(builder: Any, image_size: tuple[int, int] | None, channels: int | None) -> tuple[int, int, int]:
    """Decide H, W, C from what the data set declares and what is asked for."""
    height, width, own_channels = builder.info.features["image"].shape
    if image_size is not None:
        height, width = check_image_size(image_size)
    elif height is None or width is None:
        raise ConfigError(f"the images of tfds:{builder.info.name} differ in size: set data.image_size")
    return height, width, (own_channels or 3) if channels is None else channels


def _data_source(builder: Any, split: str, *, decode_image: bool) -> Any:
    """Open a split with random access; other pictures than `image`, such as masks, are never decoded."""
    import tensorflow_datasets as tfds

    if not builder.info.splits[split].num_examples:
        name = f"tfds:{builder.info.name}"
        raise DataError(f"{name} in {builder.data_dir} has no images in its split {split}: prepare it again with some")
    features = builder.info.features
    pictures = {key for key in features if isinstance(features[key], tfds.features.Image)}
    untouched = pictures - {"image"} if decode_image else pictures | {"image"}
    decoders = {key: tfds.decode.SkipDecoding() for key in untouched}
    try:
        return builder.as_data_source(split, decoders=decoders)
    except (NotImplementedError, ValueError, OSError) as error:
        name = builder.info.name
        raise DataError(
            f"tfds:{name} in {builder.data_dir} has no files with random access; {_remedy(name)}, into another folder"
        ) from error


def _is_labelled(builder: Any, split: str) -> bool:
    """Tell a real test split from one that is empty, or whose labels are kept secret and stored as -1."""
    if not builder.info.splits[split].num_examples:
        return False
    records = _data_source(builder, split, decode_image=False)
    return int(records[0]["label"]) >= 0


def _remedy(name: str) -> str:
    return (
        f"on a machine with TensorFlow run: tfds build {name} --file_format=array_record --data_dir=DIR, "
        f"copy DIR here, and write tfds:{name}@DIR"
    )


def _line(error: Exception) -> str:
    """Return the first line of an error that may have many."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
