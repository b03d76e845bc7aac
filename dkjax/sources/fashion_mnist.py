"""Fashion-MNIST: 70 000 grey images of clothes, 28x28 pixels, from Debian's package or a folder of IDX files.

Xiao, Rasul, Vollgraf, arXiv 1708.07747. Nothing is ever downloaded.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dkjax.errors import DataError
from dkjax.formats.idx import read_idx
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.source import ArraySource

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_PREFIXES: Mapping[str, str] = {"train": "train", "test": "t10k"}


def open_fashion_mnist(
    folder: Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[ArraySource]]:
    """Open Fashion-MNIST.

    Args:
        folder: where the four IDX files lie, plain or `.gz`; where Debian's package puts them if None.
        image_size: (H, W); as in the files if None.
        channels: 1 or 3; 1 if None.
        preparation: what becomes of other proportions.

    Returns:
        For `train` and `test` a function that reads the files and returns the source.

    Raises:
        DataError: the folder is not there. The functions raise it for files that are missing or damaged.
    """
    folder = DEBIAN_FOLDER if folder is None else folder
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: {_REMEDY}")
    return {split: partial(_open_split, folder, split, image_size, channels, preparation) for split in _PREFIXES}


_REMEDY = (
    "apt-get install dataset-fashion-mnist, or name a folder that holds the four IDX files: fashion-mnist:/the/folder"
)


def _open_split(
    folder: Path, split: str, image_size: tuple[int, int] | None, channels: int | None, preparation: Preparation
) -> ArraySource:
    """Read the images and the labels of one split."""
    images = read_idx(_find(folder, f"{_PREFIXES[split]}-images-idx3-ubyte"))
    labels = read_idx(_find(folder, f"{_PREFIXES[split]}-labels-idx1-ubyte"))
    if images.ndim != 3:
        raise DataError(f"{folder}: the {split} images have {images.ndim} dimensions, expected 3 (n, height, width)")
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: {len(images)} {split} images but labels of shape {list(labels.shape)}; "
            "take the four files from one release"
        )
    return ArraySource(images, labels, CLASS_NAMES, image_size, channels, f"{folder} ({split})", preparation)


def _find(folder: Path, name: str) -> Path:
    """Find a file under its name or its compressed name."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(f"{folder} has neither {name}.gz nor {name}: {_REMEDY}")
