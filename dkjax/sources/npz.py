"""Images in one NumPy archive: `image`, `label`, and if wanted `class_names`, `test_image`, `test_label`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dkjax.errors import DataError
from dkjax.formats.npz import array_names, read_array
from dkjax.sources.class_names import normalised
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.source import ArraySource

_MAX_CLASSES = 1 << 16


def open_npz(
    path: Path,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[ArraySource]]:
    """Open an archive of images.

    Args:
        path: the `.npz` file, with `image` uint8[n, H, W, C] or uint8[n, H, W], `label` integers or strings [n], and
            optionally `class_names` strings [k], `test_image` and `test_label`. MedMNIST's names (`train_images`) and
            those of Keras (`x_train`) are understood as well.
        image_size: (H, W); as in the file if None.
        channels: 1 or 3; as in the file if None.
        classes: what the labels 0, 1, ... are called where the file does not say.
        preparation: what becomes of other proportions and of values that are not uint8.

    Returns:
        A function that reads the images and returns the source, for `train` and, where the archive has test images,
        for `test`. Without `class_names` and `classes` the classes are the labels' strings, or 0, 1, ... up to the
        largest label.

    Raises:
        DataError: the file is missing or damaged, holds Python objects, or lacks an array. The functions raise it for
            arrays of the wrong dtype or shape.

    Guarantees:
        - Compressed or not, the images are the same (`tests/sources/test_npz.py::test_round_trip`).
        - An uncompressed archive is not loaded into memory
          (`tests/sources/test_npz.py::test_stored_images_are_mapped`).
        - A flipped bit is noticed (`tests/sources/test_npz.py::test_flipped_bit_is_noticed`).
        - Pickles are refused (`tests/sources/test_npz.py::test_pickle_is_refused`).
        - Memory is bounded by the images that there are (`tests/sources/test_npz.py::test_bombs_are_refused`).
    """
    names = array_names(path)
    layout = _layout(path, names)
    labels = {split: _labels(path, label) for split, (_, label) in layout.items()}
    texts = [array for array in labels.values() if array.dtype.kind == "U"]
    if "class_names" in names:
        class_names = _class_names(path)
    elif classes is not None:
        class_names = tuple(classes)
    elif texts:
        class_names = tuple(sorted({name for array in texts for name in np.unique(array).tolist()}))
    else:
        class_names = _numbered_classes(path, max(int(array.max()) for array in labels.values()))
    return {
        split: partial(
            _open_split,
            path,
            image,
            _numbers(path, labels[split], class_names),
            class_names,
            image_size,
            channels,
            preparation,
        )
        for split, (image, _) in layout.items()
    }


# Images and labels for training and for testing, as this project, MedMNIST, Keras and others name them.
_LAYOUTS = (
    (("image", "label"), ("test_image", "test_label")),
    (("train_images", "train_labels"), ("test_images", "test_labels")),
    (("x_train", "y_train"), ("x_test", "y_test")),
    (("images", "labels"), ("test_images", "test_labels")),
)


def _layout(path: Path, names: set[str]) -> dict[str, tuple[str, str]]:
    """Find the names of the arrays of images and labels, by split."""
    train, test = next((one for one in _LAYOUTS if one[0][0] in names), _LAYOUTS[0])
    wanted = {"train": train} | ({"test": test} if names & {*test} else {})
    for needed in (name for pair in wanted.values() for name in pair):
        if needed not in names:
            raise DataError(f"{path} has no array {needed!r}, only {', '.join(sorted(names)) or 'nothing'}")
    return wanted


def _labels(path: Path, name: str) -> np.ndarray:
    """Read labels: integers or strings [n], also where they are stored as booleans or as [n, 1]."""
    array = read_array(path, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "b":
        array = array.astype(np.int32)
    if array.dtype.kind == "U":
        array = np.array([normalised(label, f"{path} ({name})") for label in array.ravel().tolist()]).reshape(
            array.shape
        )
    if array.dtype.kind not in "iuU" or array.ndim != 1 or not array.size:
        raise DataError(
            f"{path}: {name} must be integers or strings of shape [n], got {array.dtype}{list(array.shape)}"
        )
    return array


def _numbers(path: Path, labels: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
    """Turn labels that are strings into class numbers."""
    if labels.dtype.kind != "U":
        return labels
    if strangers := sorted({*np.unique(labels).tolist()} - {*class_names}):
        raise DataError(f"{path} has a label {strangers[0]!r} that is none of the classes {', '.join(class_names)}")
    return np.array([class_names.index(label) for label in labels.tolist()])


def _open_split(
    path: Path,
    name: str,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    image_size: tuple[int, int] | None,
    channels: int | None,
    preparation: Preparation,
) -> ArraySource:
    """Read the images of one split."""
    return ArraySource(
        read_array(path, name), labels, class_names, image_size, channels, f"{path} ({name})", preparation
    )


def _class_names(path: Path) -> tuple[str, ...]:
    """Read the names of the classes."""
    array = read_array(path, "class_names")
    if array.dtype.kind != "U" or array.ndim != 1 or not array.size:
        raise DataError(
            f"{path}: class_names must be strings of shape [k], got {array.dtype}{list(array.shape)}; "
            "save numpy.array([...], dtype=str)"
        )
    if array.size > _MAX_CLASSES:
        raise DataError(f"{path} has {array.size} class_names, expected at most {_MAX_CLASSES}")
    return tuple(normalised(name, f"{path} (class_names)") for name in array.tolist())


def _numbered_classes(path: Path, largest: int) -> tuple[str, ...]:
    """Name the classes by their numbers, unless a single wild label would make millions of them."""
    if largest >= _MAX_CLASSES:
        raise DataError(
            f"{path} has label {largest}, and no class_names; expected labels below {_MAX_CLASSES}: "
            "correct the labels or add class_names"
        )
    return tuple(map(str, range(max(largest, 0) + 1)))
