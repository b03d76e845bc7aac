"""A folder of photographs, one sub-folder a class: the data that a plant or a hospital has.

photos/scratch/0001.jpg          photos/train/scratch/0001.jpg
photos/scratch/0002.png    or    photos/train/whole/0001.jpg
photos/whole/0001.jpg            photos/test/scratch/0002.jpg
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.sources.class_names import normalised
from dkjax.sources.findings import NOTHING_FOUND, Findings, Skipped
from dkjax.sources.folder_layout import class_doubts, images_beside, split_level
from dkjax.sources.folder_walk import FolderWalk
from dkjax.sources.image_files import ImageFilesSource
from dkjax.sources.preparation import AS_IS, Preparation


class ImageFolderSource(ImageFilesSource):
    """The images below one folder, decoded when they are asked for.

    Classes are the sub-folders in the order of their names, in Unicode's normal form C; within a class the files, also
    those in deeper folders, come in the order of their paths. Names that begin with a dot, and what systems put beside
    photographs, are not looked at. Every other file counts as a record; those that are no images end up in `skipped`.
    A class folder may be empty: the class is known, and has no image here.

    Args:
        folder: holds the class folders.
        image_size: (H, W) of the images that come out.
        channels: 3 for RGB, 1 for grey.
        class_names: the classes, where somebody has decided them; the sub-folders if None.
        agreed: the classes are `data.classes`, not those of a folder beside it.
        findings: what was noticed above the folder.
        preparation: what becomes of other proportions and of more than 8 bits.

    Raises:
        DataError: no folder, no class in it, no file in any class, a class that is not in `class_names`, or one whose
            name is not UTF-8.
        ArgumentError: an image size that is not positive, or another number of channels.

    Guarantees:
        - The order does not depend on the file system (`tests/sources/test_image_folder.py::test_order_is_by_name`).
        - An unreadable file is reported once and hides no other
          (`tests/sources/test_image_folder.py::test_unreadable_files_are_skipped_and_told`).
        - What lies in the folder and is not read is in `findings`
          (`tests/sources/test_image_folder.py::test_what_is_left_out_is_named`).
    """

    _class_folders = 1

    def __init__(
        self,
        folder: Path,
        image_size: tuple[int, int],
        channels: int = 3,
        class_names: Sequence[str] | None = None,
        agreed: bool = False,
        findings: Findings = NOTHING_FOUND,
        preparation: Preparation = AS_IS,
    ) -> None:
        walk = FolderWalk(folder)
        folders, beside = walk.contents()
        names_of_folders = [normalised(name, str(folder)) for name in folders]
        found = sorted(set(names_of_folders))
        classes = tuple(found if class_names is None else class_names)
        strangers = [name for name in found if name not in classes]
        if not found or strangers:
            whose = f"that is not in data.classes ({', '.join(classes)})" if agreed else "that training has not"
            problem = f"class folder {strangers[0]!r} {whose}" if strangers else "no class folder"
            raise DataError(
                f"{folder} has {problem}; expected one folder a class, with images in it, or a table: --labels"
            )
        # The same name may stand there in two normal forms: one class.
        records = sorted(
            (classes.index(name), path)
            for name, paths in zip(names_of_folders, walk.files(folders), strict=True)
            for path in paths
        )
        left_out = [*walk.left_out, *images_beside(beside)]
        if not records:
            why = f" ({left_out[0].name}: {left_out[0].reason})" if left_out else ""
            raise DataError(f"{folder}: the class folders {', '.join(found)} are empty{why}; put images in them")
        labels, names = np.array([label for label, _ in records]), [path for _, path in records]
        doubts = () if agreed else class_doubts(folder, folders, names, beside)
        passed = tuple(Skipped(f"{name} ({times} times)", _SYSTEM) for name, times in sorted(walk.passed_over.items()))
        found_here = Findings((*findings.left_out, *left_out, *passed), findings.notes, (*findings.doubts, *doubts))
        super().__init__(folder, names, labels, classes, image_size, channels, found_here, preparation)


_SYSTEM = "a folder that the system made for itself"


def open_image_folder(
    folder: Path,
    image_size: tuple[int, int] | None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[ImageFolderSource]]:
    """Open a folder of class folders, with or without a level `train/`, `test/` above them.

    Args:
        folder: the folder.
        image_size: (H, W); needed, since photographs have sizes of their own.
        channels: 3 or 1; 3 if None.
        classes: the classes that several sites agreed on; those found in the folder if None.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        A function that opens the source, for `train` (all images where there is no such level) and, where there are
        test images (`test/`, else `val/`, `valid/` or `validation/`), for `test`. Both have the classes of `train/`.

    Raises:
        ConfigError: no image size.
        DataError: the folder is not there, has `test/` but no `train/`, or both parts of a data set and classes.

    Guarantees:
        The parts of a data set never become classes
        (`tests/sources/test_image_folder.py::test_parts_of_a_data_set_never_become_classes`).
    """
    if image_size is None:
        raise ConfigError(
            f"the image folder {folder} needs an image size, since photographs differ: set data.image_size"
        )
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    channels = 3 if channels is None else channels
    level = split_level(folder, classes)
    if level is None:
        open_it = partial(ImageFolderSource, folder, image_size, channels, classes, classes is not None)
        return {"train": partial(open_it, preparation=preparation)}
    if classes is None:
        classes_of_train = FolderWalk(folder / level.train).contents()[0]
        class_names: Sequence[str] = sorted({normalised(name, str(folder / level.train)) for name in classes_of_train})
    else:
        class_names = classes
    splits = {"train": level.train} | ({"test": level.test} if level.test is not None else {})
    return {
        split: partial(
            ImageFolderSource,
            folder / name,
            image_size,
            channels,
            class_names,
            classes is not None,
            Findings(level.left_out(split), level.notes(split)),
            preparation,
        )
        for split, name in splits.items()
    }
