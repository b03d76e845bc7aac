"""What the sub-folders of a folder are: classes, or something that is easily taken for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from dkjax.errors import DataError
from dkjax.sources.findings import Skipped
from dkjax.sources.folder_walk import IMAGE_SUFFIXES, FolderWalk

_TRAIN = ("train", "training", "trn")
_TEST = ("test", "testing", "tst")
_VALIDATION = ("val", "valid", "validation")
SPLIT_NAMES = frozenset({*_TRAIN, *_TEST, *_VALIDATION})
"""Usual names, in lower case, for the parts of a data set."""

_NO_CLASS = (
    *("images", "image", "imgs", "img", "photos", "photo", "pictures", "pics", "jpegimages"),
    *("data", "dataset", "labels", "annotations", "masks"),
)


def split_of(name: str) -> str | None:
    """Say which part of a data set a usual name means: `train`, `test` or `validation`; None for another name."""
    word = name.lower()
    return "train" if word in _TRAIN else "test" if word in _TEST else "validation" if word in _VALIDATION else None


@dataclass(frozen=True)
class SplitLevel:
    """A level of folders above the classes that says what images are for.

    Attributes:
        train: the folder of training images.
        test: the folder of test images, if there is one.
        unused: folders beside them that neither is read from.
    """

    train: str
    test: str | None
    unused: tuple[str, ...]

    def left_out(self, split: str) -> tuple[Skipped, ...]:
        """List what is beside the images of a split."""
        others = [(name, "neither training nor test images; to take it, name it as the source") for name in self.unused]
        if split == "train" and self.test is not None:
            others.insert(0, (self.test, "kept for testing; take it with --split test"))
        return tuple(Skipped(f"{name}/", reason) for name, reason in others)

    def notes(self, split: str) -> tuple[str, ...]:
        """Say which folder the images of a split are in."""
        name = self.train if split == "train" else self.test
        return (f"{split}ing images are those in {name}/",)


def split_level(folder: Path, classes: Sequence[str] | None) -> SplitLevel | None:
    """Find the parts of a data set above its classes.

    A sub-folder with a usual name for such a part (`train`, `valid`, `test`, ...) is one if it has sub-folders and no
    images of its own; where all sub-folders have such names, each is one.

    Args:
        folder: the folder.
        classes: the classes, where they have been agreed on; a sub-folder in it is a class.

    Returns:
        The level; None where the sub-folders are classes.

    Raises:
        DataError: parts without one for training, or beside class folders.
    """
    walk = FolderWalk(folder)
    names = [name for name in walk.contents()[0] if name not in (classes or ())]
    named = [name for name in names if name.lower() in SPLIT_NAMES]
    parts = named if named == names else [name for name in named if _holds_folders_alone(walk, name)]
    if not parts:
        return None
    others = [name for name in names if name not in parts]
    if with_images := [name for name in others if _has_images(folder, name)]:
        raise DataError(
            f"{folder} has {parts[0]}/, a part of a data set with folders in it, beside {with_images[0]}/ with images: "
            f"name {folder / parts[0]} as the source, or say which are classes: data.classes"
        )
    train = _first(parts, _TRAIN)
    if train is None:
        raise DataError(
            f"{folder} has {parts[0]}/ but no train/; training images are needed, if only for the class names"
        )
    test = _first(parts, _TEST) or _first(parts, _VALIDATION)
    unused = tuple(name for name in names if name not in (train, test))
    return SplitLevel(train, test, unused)


def class_doubts(folder: Path, folders: Sequence[str], files: Sequence[str], beside: Sequence[str]) -> tuple[str, ...]:
    """Ask whether sub-folders are classes.

    Args:
        folder: holds them.
        folders: their names, at least one.
        files: the paths of all files below them.
        beside: the names of the files beside them.

    Returns:
        A sentence for what is easily a mistake, with the way out.
    """
    doubts = []
    tables = [name for name in beside if name.lower().endswith((".csv", ".parquet", ".tsv"))]
    too_deep = len(folders) == 1 and all(path.count("/") > 1 for path in files)
    if too_deep:
        inner = sorted({path.split("/")[1] for path in files})
        doubts.append(
            f"{folders[0]}/ is the only folder in {folder}, and holds folders alone ({', '.join(inner[:4])}"
            f"{', ...' if len(inner) > 4 else ''}): to take those, name {folder / folders[0]} as the source"
        )
    for name in folders if not too_deep else ():
        if name.lower() in _NO_CLASS and (len(folders) == 1 or tables):
            table = f"{folder / tables[0]}" if tables else "TABLE.csv"
            only = "the only folder" if len(folders) == 1 else "a folder"
            doubts.append(
                f"{name}/ is {only} in {folder}, and becomes one class, though its name is none of a class"
                f"{f', and {tables[0]} lies beside it' if tables else ''}: make one folder a class in it, or give the "
                f"labels, --labels {table}"
            )
        elif name.lower() in SPLIT_NAMES:
            doubts.append(
                f"{name}/ becomes a class, though its name is that of a part of a data set: if it is a class, say so "
                "in data.classes"
            )
    seconds = {path.split("/")[1].lower() for path in files if path.count("/") > 1}
    if parts := sorted(seconds & SPLIT_NAMES):
        doubts.append(
            f"the classes have folders {', '.join(f'{name}/' for name in parts)} in them: all are read as one"
        )
    return tuple(doubts)


def images_beside(files: Iterable[str]) -> tuple[Skipped, ...]:
    """Say which images lie beside the class folders, where no class is told for them."""
    images = sorted(name for name in files if PurePath(name).suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        return ()
    name = images[0] if len(images) == 1 else f"{images[0]} and {len(images) - 1:,} more"
    return (Skipped(name, "beside the class folders; put it into the folder of its class"),)


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The name that comes first in a list of preferences."""
    return next((name for word in wanted for name in names if name.lower() == word), None)


def _holds_folders_alone(walk: FolderWalk, name: str) -> bool:
    folders, files = walk.contents(name)
    return bool(folders) and not images_beside(files)


def _has_images(folder: Path, name: str) -> bool:
    (files,) = FolderWalk(folder).files([name])
    return any(PurePath(file).suffix.lower() in IMAGE_SUFFIXES for file in files)
