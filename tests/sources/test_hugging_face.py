"""Data sets of Hugging Face on disk."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from dkjax.errors import DataError
from dkjax.sources import open_source

NAMES = ["crack", "stain", "whole"]


def made(count: int = 6, first: int = 0) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    images = [Image.new("L", (8, 8), 10 * (first + number)) for number in range(count)]
    rows = {"image": images, "label": [number % 3 for number in range(count)]}
    return datasets.Dataset.from_dict(rows, features=features)


def values(path: Path, split: str | None = None, **options: object) -> tuple[list[int], list[int]]:
    source = open_source(str(path), split, image_size=(8, 8), channels=1, **options)  # type: ignore[arg-type]
    assert source.class_names == tuple(NAMES)
    records = source[:]
    return records["image"][:, 0, 0, 0].tolist(), records["label"].tolist()


def test_saved_to_disk(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "one")
    assert values(tmp_path / "one") == ([0, 10, 20, 30, 40, 50], [0, 1, 2, 0, 1, 2])
    made().select([4, 1]).save_to_disk(tmp_path / "some")
    assert values(tmp_path / "some") == ([40, 10], [1, 1])
    both = datasets.DatasetDict({"train": made(3), "validation": made(2, 3), "test": made(1, 5)})
    both.save_to_disk(tmp_path / "both")
    assert values(tmp_path / "both", "train") == ([0, 10, 20], [0, 1, 2])
    assert values(tmp_path / "both", "test") == ([50], [0])


def test_parquet(tmp_path: Path) -> None:
    made().to_parquet(tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == ([0, 10, 20, 30, 40, 50], [0, 1, 2, 0, 1, 2])


def test_labels_that_are_text(tmp_path: Path) -> None:
    rows = {"image": [Image.new("L", (8, 8), value) for value in (1, 2)], "label": ["whole", "crack"]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "a")
    source = open_source(str(tmp_path / "a"), None, image_size=(8, 8), channels=1)
    assert (source.class_names, source[:]["label"].tolist()) == (("crack", "whole"), [1, 0])
    assert values(tmp_path / "a", classes=NAMES) == ([1, 2], [2, 0])


def test_what_cannot_be_read(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "a")
    with pytest.raises(DataError, match="has the columns text; expected images and labels"):
        values(tmp_path / "a")
    datasets.DatasetDict({"fold1": made(1)}).save_to_disk(tmp_path / "b")
    with pytest.raises(DataError, match="has no split train, only fold1"):
        values(tmp_path / "b")
    (tmp_path / "c").mkdir()
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / "c" / name).write_text("{")
    with pytest.raises(DataError, match="c cannot be read"):
        values(tmp_path / "c")
    (tmp_path / "d.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match=r"d\.parquet is no Parquet file"):
        values(tmp_path / "d.parquet")


def test_bytes_of_the_files_are_decoded_as_they_are(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = {"image": [Image.fromarray(random)], "label": [2]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "a")
    source = open_source(str(tmp_path / "a"), None, image_size=(8, 8))
    np.testing.assert_array_equal(source[:]["image"][0], random)
