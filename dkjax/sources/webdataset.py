"""WebDataset: tar files in which the files of one sample have one name up to the first dot.

0001.jpg, 0001.cls, 0002.jpg, 0002.cls, ...
"""

import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from dkjax.errors import DataError
from dkjax.sources.class_names import normalised
from dkjax.sources.encoded_images import EncodedImagesSource, numbered
from dkjax.sources.findings import Findings, Skipped
from dkjax.sources.folder_walk import IMAGE_SUFFIXES
from dkjax.sources.preparation import AS_IS, Preparation

_LABEL_ENDINGS = ("cls", "cls.txt", "label", "label.txt")


@dataclass
class _Sample:
    """Where the image of a sample lies, and its label."""

    file: Path | None = None
    offset: int = 0
    size: int = 0
    label: object = None


def open_webdataset(
    files: Sequence[Path],
    image_size: tuple[int, int] | None,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    preparation: Preparation = AS_IS,
) -> dict[str, partial[EncodedImagesSource]]:
    """Open the samples of one or several tar files.

    Args:
        files: the tar files, uncompressed.
        image_size: (H, W); needed.
        channels: 3 or 1; 3 if None.
        classes: what the labels 0, 1, ... are called.
        preparation: what becomes of other proportions and of more than 8 bits.

    Returns:
        For `train` a function that opens the source of all samples with an image and a label (`.cls`, a number or a
        word, or `label` in `.json`), in their order.

    Raises:
        DataError: a file is no tar file, or is compressed, or no sample has both.

    Guarantees:
        - a sample is what has one name up to its first dot
          (`tests/sources/test_webdataset.py::test_samples_are_told_by_their_first_dot`).
    """
    samples: dict[str, _Sample] = {}
    for file in files:
        _index(file, samples)
    whole = [sample for sample in samples.values() if sample.file is not None and sample.label is not None]
    if not whole:
        raise DataError(f"{files[0]} has no sample with an image and a label; expected 0001.jpg and 0001.cls, ...")
    labels, class_names = numbered([sample.label for sample in whole], classes)
    missing = [name for name, sample in samples.items() if sample.file is None or sample.label is None]
    left_out = [Skipped(f"{missing[0]} ({len(missing):,} in all)", "no image or no label")] if missing else []
    where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    return {
        "train": partial(
            EncodedImagesSource,
            lambda position: _read(whole[position]),
            labels,
            class_names,
            image_size,
            channels,
            where,
            preparation,
            Findings(tuple(left_out)),
        )
    }


def _index(file: Path, samples: dict[str, _Sample]) -> None:
    """Find the members of a tar file; only labels are read."""
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isreg() or path.name.startswith("."):
                    continue
                key, _, ending = path.name.partition(".")
                sample = samples.setdefault(f"{file.name}: {path.parent / key}", _Sample())
                if f".{ending.lower().rpartition('.')[2]}" in IMAGE_SUFFIXES:
                    sample.file, sample.offset, sample.size = file, member.offset_data, member.size
                elif ending.lower() in (*_LABEL_ENDINGS, "json") and member.size < 1 << 20:
                    content = archive.extractfile(member)
                    assert content is not None
                    sample.label = _label(content.read(), ending.lower(), f"{file}, {member.name}")
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{file} is no tar file ({error}); a compressed one has to be unpacked first") from None


def _label(content: bytes, ending: str, where: str) -> object:
    try:
        text = content.decode("utf-8").strip()
        value = json.loads(text).get("label") if ending == "json" else text
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: the label cannot be read: {error}") from None
    if isinstance(value, str):
        return int(value) if value.isdecimal() else normalised(value, where)
    return value if isinstance(value, int) else None


def _read(sample: _Sample) -> bytes:
    assert sample.file is not None
    with sample.file.open("rb") as file:
        return os.pread(file.fileno(), sample.size, sample.offset)
