"""From the word that stands in a configuration or on a command line to a source of images."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dkjax.config import DataConfig, LabelColumns
from dkjax.errors import ConfigError, DataError
from dkjax.runtime.files import special_file
from dkjax.seeds import generator
from dkjax.sources.class_names import WithClasses, check_classes
from dkjax.sources.digits import open_digits
from dkjax.sources.elpv import open_elpv
from dkjax.sources.fashion_mnist import open_fashion_mnist
from dkjax.sources.folder_walk import FolderWalk, is_hidden
from dkjax.sources.hugging_face import is_saved_to_disk, open_hugging_face
from dkjax.sources.image_folder import open_image_folder
from dkjax.sources.labelled_folder import open_labelled_folder
from dkjax.sources.npz import open_npz
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.source import Source, Subset
from dkjax.sources.split import grouped_split, stratified_split
from dkjax.sources.textiles import open_textiles
from dkjax.sources.tfds import open_tfds
from dkjax.sources.webdataset import open_webdataset

KNOWN = (
    "digits",
    "fashion-mnist",
    "fashion-mnist:FOLDER",
    "elpv",
    "elpv:FOLDER",
    "textiles",
    "textiles:FOLDER",
    "tfds:NAME",
    "tfds:NAME@DATA_DIR",
    "a folder",
    "a .npz file",
    "a data set of Hugging Face on disk",
    "a .tar of WebDataset",
)

# Opened by name where they were installed, or from a folder after a colon.
_NAMED: Mapping[str, Callable[..., Mapping[str, Callable[[], Source]]]] = {
    "fashion-mnist": open_fashion_mnist,
    "elpv": open_elpv,
    "textiles": open_textiles,
}

_OWN = "dkjax:"
"""Written before the name of a source where a folder has the same name."""

Split = Literal["train", "test"]


def open_source(
    spec: str,
    split: Split | None,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
    labels: Path | None = None,
    columns: LabelColumns | None = None,
    site: str | None = None,
) -> Source:
    """Open the training or the test images of a source.

    Args:
        spec: `digits`, `fashion-mnist`, `elpv`, `textiles`, each but the first also as `NAME:FOLDER`; `tfds:NAME`,
            `tfds:NAME@DATA_DIR`; or the path of an image folder, a `.npz` archive, a data set of Hugging Face (what
            `save_to_disk` wrote, or Parquet) or of WebDataset (a `.tar`, or a folder of such). Where a folder has the
            same name as a source, write `./digits` for the folder and `dkjax:digits` for the source.
        split: `train` or `test`; None for all images, or the training images where the source has set test images
            aside itself.
        image_size: (H, W) of the images that come out; their own if None, where they have one.
        channels: 1 for grey, 3 for RGB; those of the source if None (3 for an image folder).
        test_fraction: the share of test images where the source has not set some aside itself.
        split_seed: which of the possible splits, there.
        classes: the classes, those of the source among them, in the order of the labels that come out: a list that
            several sites agreed on. Those of the source if None.
        preparation: what becomes of other proportions and of more than 8 bits.
        labels: a table of file names and labels, where `spec` is a folder of images.
        columns: what the columns of the table are called, where their names are not usual ones.
        site: take the rows of this site of the table alone.

    Returns:
        The source. Without official test images, training and test images are a split that is stratified by class and
        depends on the labels, `test_fraction` and `split_seed` alone; where a table has groups, none is divided.

    Raises:
        ConfigError: an unknown name, one that a folder has as well, or settings that do not fit the source.
        DataError: the data are missing or damaged, have a class that is not in `classes`, or are too few to be split.
        MissingPackageError: the data come as a package that is not installed.

    Guarantees:
        - Training and test images do not overlap (`tests/sources/test_open.py::test_train_and_test_are_disjoint`).
        - The same classes get the same labels, whichever of them a site has
          (`tests/sources/test_open.py::test_sites_without_a_class_agree_on_labels`).

    Example:
        >>> open_source("digits", "test", image_size=(16, 16)).image_shape
        (16, 16, 1)
    """
    if split not in ("train", "test", None):
        raise ConfigError(f"split must be train or test, got {split!r}")
    agreed = None if classes is None else check_classes(classes)
    if labels is None:
        splits = _open_splits(spec, image_size, channels, agreed, preparation)
    else:
        folder = Path(spec).expanduser()
        splits = open_labelled_folder(folder, labels, image_size, channels, agreed, preparation, columns, site)
    source = splits["test" if split == "test" and "test" in splits else "train"]()
    whole = source if agreed in (None, source.class_names) else WithClasses(source, agreed, spec)
    if split is None or "test" in splits:
        return whole
    groups = getattr(whole, "groups", None)
    if groups is None:
        train, test = stratified_split(whole.labels, test_fraction, split_seed)
    else:
        train, test = grouped_split(whole.labels, groups, test_fraction, split_seed)
    chosen = train if split == "train" else test
    if not chosen.size:
        if groups is not None:
            raise DataError(f"{spec}: {len(whole)} images of one group cannot be split; at least two groups are needed")
        raise DataError(
            f"{spec}: {len(whole)} images, one a class, cannot be split; at least two of a class are needed"
        )
    return Subset(whole, chosen)


def open_configured(config: DataConfig, split: Split | None) -> Source:
    """Open what `[data]` of a configuration asks for.

    Args:
        config: source, image size, split, and how many images to take; so many are drawn at random, and stay in order.
        split: as `open_source`. `train_images` holds for all images and for training images.

    Returns:
        The source.

    Raises:
        ConfigError: as `open_source`.
        DataError: as `open_source`.
        MissingPackageError: as `open_source`.
    """
    source = open_source(
        config.source,
        split,
        image_size=config.height_width,
        channels=config.channels,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        classes=config.classes,
        preparation=Preparation(config.resize, config.range, config.decode),
        labels=None if config.labels is None else Path(config.labels).expanduser(),
        columns=config.columns,
        site=config.site,
    )
    limit = config.test_images if split == "test" else config.train_images
    if limit is None or limit >= len(source):
        return source
    chosen = generator("dkjax.collaborative.limit", config.split_seed).choice(len(source), limit, replace=False)
    return Subset(source, np.sort(chosen))


def has_test_images(config: DataConfig) -> bool:
    """Say whether a source has set test images aside itself.

    Args:
        config: source and image size.

    Raises:
        ConfigError: as `open_source`.
        DataError: as `open_source`.
        MissingPackageError: as `open_source`.
    """
    if config.labels is not None:
        size, table = config.height_width, Path(config.labels).expanduser()
        return "test" in open_labelled_folder(Path(config.source).expanduser(), table, size, columns=config.columns)
    return "test" in _open_splits(config.source, config.height_width, config.channels)


def _open_splits(
    spec: str,
    image_size: tuple[int, int] | None,
    channels: int | None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
) -> Mapping[str, Callable[[], Source]]:
    """Find the kind of a source by its name, and return what opens its splits."""
    own = spec.removeprefix(_OWN)
    name, colon, rest = own.partition(":")
    if own == spec and spec in ("digits", *_NAMED) and _holds_folders(Path(spec)):
        raise ConfigError(
            f"{spec} is a source that dkjax knows, and a folder here: write ./{spec} for the folder, or "
            f"{_OWN}{spec} for the source"
        )
    if own == "digits":
        return {"train": lambda: open_digits(image_size, channels, preparation)}
    if name in _NAMED:
        if colon and not rest:
            raise ConfigError(f"{name}: needs a folder after the colon, or no colon")
        return _NAMED[name](Path(rest).expanduser() if rest else None, image_size, channels, preparation)
    if name == "tfds" and colon:
        dataset, _, data_dir = rest.partition("@")
        folder = Path(data_dir).expanduser() if data_dir else None
        return open_tfds(dataset, folder, image_size, channels, preparation)
    path = Path(spec).expanduser()
    if (kind := special_file(path)) is not None:
        raise DataError(f"{spec} is {kind}; expected {', '.join(KNOWN)}")
    if path.suffix == ".parquet" or (spec and is_saved_to_disk(path)):
        return open_hugging_face(path, image_size, channels, classes, preparation)
    if path.suffix == ".tar" and path.is_file():
        return open_webdataset([path], image_size, channels, classes, preparation)
    if path.is_dir() and spec:
        if (tars := sorted(path.glob("*.tar"))) and not FolderWalk(path).contents()[0]:
            return open_webdataset(tars, image_size, channels, classes, preparation)
        return open_image_folder(path, image_size, channels, classes, preparation)
    if path.suffix == ".npz":
        return open_npz(path, image_size, channels, classes, preparation)
    if path.exists() and spec:
        raise DataError(f"{spec} is neither a folder nor a .npz file; expected {', '.join(KNOWN)}")
    if os.sep in spec:
        raise DataError(f"no file or folder {spec}")
    nearest = difflib.get_close_matches(spec, ("digits", *_NAMED, "tfds:"), n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(f"unknown source {spec!r}; known are {', '.join(KNOWN)}{hint}")


def _holds_folders(path: Path) -> bool:
    """Say whether a path is a folder of the user's with folders in it, not the work directory of a run."""
    if not path.is_dir() or (path / "config.json").exists():
        return False
    return any(child.is_dir() and not is_hidden(child.name) for child in path.iterdir())
