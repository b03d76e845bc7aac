"""A folder of photographs, one sub-folder a class: the data that a plant or a hospital has.

photos/scratch/0001.jpg          photos/train/scratch/0001.jpg
photos/scratch/0002.png    or    photos/train/whole/0001.jpg
photos/whole/0001.jpg            photos/test/scratch/0002.jpg
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.sources.image_files import ImageFilesSource

# The names under which test images are found next to `train`, in the order of preference.
_TEST_FOLDERS = ("test", "val", "validation")


class ImageFolderSource(ImageFilesSource):
    """The images below one folder, decoded when they are asked for.

    Classes are the sub-folders in the order of their names; within a class the files, also those in deeper folders,
    come in the order of their paths. Names that begin with a dot are not looked at. Every other file counts as a
    record; those that are no images end up in `skipped`.

    Args:
        folder: holds the class folders.
        image_size: (H, W) of the images that come out.
        channels: 3 for RGB, 1 for grey.
        class_names: the classes, where another folder has decided them; the sub-folders if None.

    Raises:
        DataError: no folder, no class in it, a class without a file, or a class that is not in `class_names`.
        ArgumentError: an image size that is not positive, or another number of channels.

    Guarantees:
        - The order does not depend on the file system (`tests/sources/test_image_folder.py::test_order_is_by_name`).
        - An unreadable file is reported once and hides no other
          (`tests/sources/test_image_folder.py::test_unreadable_files_are_skipped_and_told`).
    """

    def __init__(
        self,
        folder: Path,
        image_size: tuple[int, int],
        channels: int = 3,
        class_names: Sequence[str] | None = None,
    ) -> None:
        found = _sub_folders(folder)
        classes = tuple(found if class_names is None else class_names)
        strangers = sorted(set(found) - set(classes))
        if not found or strangers:
            problem = f"class folder {strangers[0]!r} that training has not" if strangers else "no class folder"
            raise DataError(f"{folder} has {problem}; expected one folder a class, with images in it")
        files = {name: _files(folder / name) for name in found}
        for name, paths in files.items():
            if not paths:
                raise DataError(f"the class folder {folder / name} is empty; put images in it or remove it")
        names = [f"{name}/{path}" for name, paths in files.items() for path in paths]
        labels = np.repeat([classes.index(name) for name in files], [len(paths) for paths in files.values()])
        super().__init__(folder, names, labels, classes, image_size, channels)


def open_image_folder(
    folder: Path, image_size: tuple[int, int] | None, channels: int | None = None
) -> dict[str, partial[ImageFolderSource]]:
    """Open a folder of class folders, with or without a level `train/`, `test/` above them.

    Args:
        folder: the folder.
        image_size: (H, W); needed, since photographs have sizes of their own.
        channels: 3 or 1; 3 if None.

    Returns:
        A function that opens the source, for `train` (all images where there is no such level) and, where there are
        test images (`test/`, else `val/` or `validation/`), for `test`. Both have the classes of `train/`.

    Raises:
        ConfigError: no image size.
        DataError: the folder is not there, or has `test/` but no `train/`.
    """
    if image_size is None:
        raise ConfigError(
            f"the image folder {folder} needs an image size, since photographs differ: set data.image_size"
        )
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    names = _sub_folders(folder)
    channels = 3 if channels is None else channels
    if not names or not set(names) <= {"train", *_TEST_FOLDERS}:
        return {"train": partial(ImageFolderSource, folder, image_size, channels)}
    if "train" not in names:
        raise DataError(
            f"{folder} has {names[0]}/ but no train/; training images are needed, if only for the class names"
        )
    class_names = _sub_folders(folder / "train")
    splits = {"train": partial(ImageFolderSource, folder / "train", image_size, channels, class_names)}
    test = next((name for name in _TEST_FOLDERS if name in names), None)
    if test is not None:
        splits["test"] = partial(ImageFolderSource, folder / test, image_size, channels, class_names)
    return splits


def _sub_folders(folder: Path) -> list[str]:
    """List the names of the visible sub-folders, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error


def _files(folder: Path) -> list[str]:
    """List the visible files below a folder by their relative paths, sorted."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(parent).relative_to(folder)
        found += [(relative / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)
