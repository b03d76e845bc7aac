"""ELPV: 2 624 photographs of solar cells in electroluminescence, 300x300 grey pixels, from the package elpv-dataset.

Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images", Solar
Energy 185, 2019 (arXiv 1807.02894). The images are under CC BY-NC-SA 4.0 and are read where they are installed.

Experts rated each cell as functional or defective, and said whether they were sure: a probability of 0 or 1 where they
were, of 1/3 or 2/3 where they were not. It is not told which of the 44 modules a cell was cut from, but the list has it
in all likelihood: its ten stretches of one kind, each divided into pieces of about 60 cells, as most modules have, are
18 pieces of monocrystalline and 26 of polycrystalline cells, the numbers of modules that the authors give. Cells of one
piece are never divided between training and testing. Where some cells of a module were left out of the set, the next
boundary is a few cells off.
"""

import itertools
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from dkjax.errors import DataError
from dkjax.runtime.files import special_file
from dkjax.sources.image_files import ImageFilesSource
from dkjax.sources.packages import package_folder
from dkjax.sources.preparation import AS_IS, Preparation

CLASS_NAMES = ("functional", "defective")

DEFECTIVE_FROM = 0.5
"""The probability of a defect from which a cell counts as defective."""

_OWN_SIZE = (300, 300)
_ALL = 2624
_CELLS_OF_A_MODULE = 60


def open_elpv(
    folder: Path | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[ImageFilesSource]]:
    """Open the solar cells.

    A cell is `defective` where the probability of a defect is 0.5 or more, that is where the experts called it so,
    sure or not, and else `functional`. No images are set aside for testing.

    Args:
        folder: holds `labels.csv`, of which each line has a path below the folder, a probability and the kind of cell
            (`images/cell0001.png 1.0 mono`); the one in the installed package if None.
        image_size: (H, W); 300x300 if None.
        channels: 1 or 3; 1 if None.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        For `train` a function that opens the source of all images, in the order of `labels.csv`. If these are the
        2 624 of the set, they are in groups, the likely modules; the order of others tells nothing.

    Raises:
        MissingPackageError: no folder is given and elpv-dataset is not installed.
        DataError: `labels.csv` is missing, or has a line that says something else.

    Guarantees:
        - No image is looked for before it is asked for (`tests/sources/test_elpv.py::test_a_missing_image_is_skipped`).
        - No group is on both sides of a split (`tests/sources/test_elpv.py::test_likely_modules_are_not_divided`).
    """
    if folder is None:
        folder = package_folder("elpv_dataset", "elpv-dataset", "elpv") / "data"
    names, labels, kinds = _read_labels(folder / "labels.csv")
    return {
        "train": partial(
            ImageFilesSource,
            folder,
            names,
            labels,
            CLASS_NAMES,
            _OWN_SIZE if image_size is None else image_size,
            1 if channels is None else channels,
            preparation=preparation,
            groups=_likely_modules(kinds) if len(kinds) == _ALL else None,
        )
    }


def _likely_modules(kinds: list[str]) -> np.ndarray:
    """Divide each stretch of one kind into pieces of about as many cells as a module has, int[n]."""
    sizes: list[int] = []
    for _, stretch in itertools.groupby(kinds):
        cells = len(list(stretch))
        sizes += map(len, np.array_split(np.arange(cells), max(1, round(cells / _CELLS_OF_A_MODULE))))
    return np.repeat(np.arange(len(sizes)), sizes)


def _read_labels(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Read the paths of the images, and the class and the kind of each."""
    if (kind := special_file(path)) is not None:
        raise DataError(f"{path} is {kind}; expected a text file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"no file {path}: pip install elpv-dataset, or name the folder that holds labels.csv: elpv:/the/folder"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: {error}") from error
    labels: dict[str, int] = {}
    kinds = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, probability, kind = _read_line(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
        if name in labels:
            raise DataError(f"{path}, line {number}: {name} has a label already; remove one of them")
        labels[name] = int(probability >= DEFECTIVE_FROM)
        kinds.append(kind)
    if not labels:
        raise DataError(f"{path} is empty; expected a line for each image, such as: images/cell0001.png 1.0 mono")
    return list(labels), np.array(list(labels.values()), np.int32), kinds


def _read_line(line: str) -> tuple[str, float, str]:
    """Read the path, the probability and the kind of one line, or raise `ValueError` with the reason."""
    fields = line.split()
    if len(fields) != 3:
        raise ValueError(f"expected a path, a probability and a kind with spaces between, got {len(fields)} words")
    name, text, kind = fields
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        # Labels that come from elsewhere decide which files are read, and these leave as images.
        raise ValueError(f"expected a path below the folder of labels.csv, got {name}")
    try:
        probability = float(text)
    except ValueError:
        probability = np.nan
    if not 0 <= probability <= 1:
        raise ValueError(f"expected a probability from 0 to 1, got {text}")
    return name, probability, kind
