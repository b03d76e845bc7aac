"""What readers of image folders see, and that no class name leads out of the folder."""

import os
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_data_sets import CLASS_NAMES, Make, records_of
from PIL import Image

from dkjax.dkds.convert import convert_data_set
from dkjax.dkds.convert.png_folder import folder_name
from dkjax.sources import open_source


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_reads_it(channels: int, make: Make, tmp_path: Path) -> None:
    dkds = make(shape=(8, 12, channels))
    _, images, labels, ids = records_of(dkds)
    convert_data_set(dkds, "png", tmp_path / "there")
    for image, label, name in zip(images, labels, ids, strict=True):
        file = tmp_path / "there/train" / folder_name(CLASS_NAMES[label]) / f"{name}.png"
        with Image.open(file) as picture:
            assert (picture.mode, picture.info) == ("L" if channels == 1 else "RGB", {})
            np.testing.assert_array_equal(np.asarray(picture).reshape(image.shape), image)
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["dkds.json", "dkds.records", "train"]


def test_our_own_source_reads_it(make: Make, tmp_path: Path) -> None:
    names = ["b", "a", "c d"]
    dkds = make(class_names=names, num_records=30)
    _, images, labels, _ = records_of(dkds)
    convert_data_set(dkds, "png", tmp_path / "there")
    source = open_source(str(tmp_path / "there"), None, image_size=(8, 12))
    # A folder numbers its classes by the order of their names.
    assert source.class_names == ("a", "b", "c d")
    records = source[:]
    found = {
        (image.tobytes(), source.class_names[label])
        for image, label in zip(records["image"], records["label"], strict=True)
    }
    assert found == {(image.tobytes(), names[label]) for image, label in zip(images, labels, strict=True)}


def test_everything_lies_in_the_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    dkds = make(class_names=["..", "../../x", "/etc", ".hidden", "a/../../b", "~", "%2E%2E", "con:", "x" * 250])
    convert_data_set(dkds, "png", tmp_path / "deep/there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dkds", "deep"]
    assert os.listdir(tmp_path / "deep") == ["there"]
    classes = list((tmp_path / "deep/there/train").iterdir())
    assert all(path.is_dir() and not path.name.startswith(".") for path in classes)
    assert sum(len(list(path.glob("*.png"))) for path in classes) == 11
    convert_data_set(tmp_path / "deep/there", "dkds", tmp_path / "back.dkds")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cat", "cat"),
        ("great white shark", "great white shark"),
        ("Schäferhund", "Schäferhund"),
        ("犬", "犬"),
        ("", "%"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../x", "%2E.%2Fx"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("a\0\n", "a%00%0A"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        (" ", "%20"),
    ],
)
def test_folder_names(name: str, folder: str) -> None:
    assert folder_name(name) == folder
    assert name == "" or urllib.parse.unquote(folder) == name


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(ANY, ANY)
def test_any_name_is_one_folder_of_its_own(name: str, other: str) -> None:
    folder = folder_name(name)
    assert 0 < len(folder.encode()) <= 255
    assert not set(folder) & set('/\\\0:*?"<>|')
    assert folder.isprintable()
    assert folder[0] != "." and folder[-1] not in ". "
    assert (folder == folder_name(other)) == (name == other)


def test_long_names_differ_at_the_end() -> None:
    long = "ä" * 300
    assert len(folder_name(long).encode()) <= 200
    assert folder_name(long) != folder_name(long + "b")
