"""A folder and a table: what the table says of a file is its label, whatever else lies there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.config import LabelColumns
from dkjax.errors import ConfigError, DataError
from dkjax.sources import Source, open_source
from dkjax.sources.source import natural_ids

Open = Callable[..., Source]
NAMES = ("0.png", "1.png", "deep/2.png", "deep/er/3.png", "4.jpg")


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Make a function that writes a table beside images that show their number, and opens the folder by it."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 * number).save(path)

    def open_by(table: str, split: str | None = None, **options: object) -> Source:
        path = tmp_path / "photos" / "labels.csv"
        path.write_text(table)
        return open_source(str(tmp_path / "photos"), split, image_size=(8, 8), channels=1, labels=path, **options)  # type: ignore[arg-type]

    return open_by


def labels_by_number(source: Source) -> dict[int, str]:
    records = source[:]
    numbers = (records["image"][:, 0, 0, 0] / 10).round().astype(int).tolist()
    return dict(zip(numbers, (source.class_names[label] for label in records["label"]), strict=True))


RIGHT = {0: "crack", 1: "whole", 2: "crack", 3: "stain", 4: "whole"}


def test_labels_are_those_of_the_table(opened: Open) -> None:
    rows = [f"{name},{RIGHT[number]}" for number, name in enumerate(NAMES)]
    for order in (rows, rows[::-1]):
        source = opened("filename,label\n" + "\n".join(order))
        assert source.class_names == ("crack", "stain", "whole")
        assert labels_by_number(source) == RIGHT
        assert not source.findings.left_out


@pytest.mark.parametrize("name", ["deep/er/3.png", "er/3.png", "3.png", "3", "deep\\er\\3.png", "elsewhere/3.png"])
def test_ways_to_name_a_file(opened: Open, name: str) -> None:
    assert labels_by_number(opened(f"image_id;Class Name\n{name};crack\n1.png;whole")) == {3: "crack", 1: "whole"}


def test_numbers_are_classes_in_their_order(opened: Open) -> None:
    source = opened("file,label\n0.png,10.0\n1.png,9.0\n2.png,-1.0\n")
    assert source.class_names == ("-1", "9", "10")
    assert labels_by_number(source) == {0: "10", 1: "9", 2: "-1"}


def test_what_is_missing_is_named(opened: Open) -> None:
    source = opened("file,label\n0.png,a\n1.png,\n7.png,b\n8.png,b\n2.png,b\n0.png,a\n")
    assert labels_by_number(source) == {0: "a", 2: "b"}
    assert source.findings.left_out == (
        ("7.png and 1 more", "in the table, and not in the folder"),
        ("1.png", "without a label in the table"),
        ("1.png and 2 more", "not in the table of labels"),
    )


def test_classes_that_sites_agreed_on(opened: Open) -> None:
    source = opened("file,label\n0.png,b\n1.png,a\n", classes=("c", "b", "a"))
    np.testing.assert_array_equal(source.labels, [1, 2])
    with pytest.raises(DataError, match=r"has a label 'b' that is not in data\.classes: a"):
        opened("file,label\n0.png,b\n", classes=("a",))


def test_one_site_of_several(opened: Open) -> None:
    table = "file,label,plant\n0.png,a,north\n1.png,b,south\n2.png,b,north\n"
    assert labels_by_number(opened(table, site="north")) == {0: "a", 2: "b"}
    every = opened(table)
    assert len(every) == 3
    assert "rows of 2 sites, and all are taken" in every.findings.notes[-1]
    with pytest.raises(DataError, match="no row of the site 'west'"):
        opened(table, site="west")
    with pytest.raises(ConfigError, match="has no column of sites"):
        opened("file,label\n0.png,a\n", site="north")


def test_splits_of_the_table(opened: Open) -> None:
    table = "file,label,split\n0.png,a,train\n1.png,b,Training\n2.png,b,valid\n3.png,a,test\n4.jpg,a,test\n"
    train, test = (opened(table, split) for split in ("train", "test"))
    assert (set(labels_by_number(train)), set(labels_by_number(test))) == ({0, 1}, {3, 4})
    assert train.class_names == test.class_names == ("a", "b")
    assert ("3 images", "of other splits; to take them: --split test") in train.findings.left_out
    with pytest.raises(DataError, match="the split 'fold 1' is none of train, test, validation"):
        opened("file,label,split\n0.png,a,fold 1\n")


def test_groups_are_not_divided(opened: Open) -> None:
    table = "file,label,patient\n0.png,a,p\n1.png,a,p\n2.png,a,q\n3.png,a,q\n4.jpg,a,\n"
    sides = [set(labels_by_number(opened(table, split, split_seed=3))) for split in ("train", "test")]
    assert sides[0] | sides[1] == {0, 1, 2, 3, 4}
    for side in sides:
        assert side
        assert all(len(side & pair) != 1 for pair in ({0, 1}, {2, 3}))
    straddling = "file,label,patient,split\n0.png,a,p,train\n1.png,a,p,test\n2.png,a,q,train\n"
    assert opened(straddling).findings.doubts == (
        "1 of the column patient, such as 'p', are both in training and in test rows",
    )


def test_columns_of_other_names(opened: Open) -> None:
    columns = LabelColumns(file="Datei", label="Befund")
    assert labels_by_number(opened("Datei,Befund\n0.png,a\n", columns=columns)) == {0: "a"}
    with pytest.raises(DataError, match=r"called filename: name the one with the file names, data\.columns\.file"):
        opened("Datei,label\n0.png,a\n")
    with pytest.raises(ConfigError, match=r"data\.columns\.label: .* has no column 'befund', only Datei, Befund"):
        opened("Datei,Befund\n0.png,a\n", columns=LabelColumns(file="Datei", label="befund"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,label\n../0.png,a\n", r"row 2: expected the path of a file below the folder, got '\.\./0\.png'"),
        ("file,label\n/etc/passwd,a\n", "expected the path of a file below"),
        ("file,label\n0.png,a\n0.png,b\n", "row 3: 0.png has the label 'b', and 'a' in a row before"),
        ("file,label\nx.png,a\n", "names no file that is there, such as x.png"),
        ("file,label,split\n0.png,a,test\n", "has no row for training"),
    ],
)
def test_what_cannot_be_meant(opened: Open, table: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        opened(table)


def test_a_name_that_two_files_have(opened: Open, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "photos/deep/0.png")
    assert labels_by_number(opened("file,label\n0.png,a\n")) == {0: "a"}
    (tmp_path / "photos/0.png").rename(tmp_path / "photos/deep/er/0.png")
    with pytest.raises(DataError, match=r"row 2: 0\.png may be deep/0\.png or deep/er/0\.png: write the path"):
        opened("file,label\n0.png,a\n")


def test_natural_ids_are_those_of_a_column_or_a_folder(opened: Open) -> None:
    table = "file,label,Camera\n4.jpg,whole,left\n1.png,whole,right\n2.png,crack,left\n3.png,stain,right\n"
    source = opened(table)
    assert natural_ids(source, "Camera") == ["left", "right", "left", "right"]
    train = opened(table, "train", test_fraction=0.5, classes=("crack", "more", "stain", "whole"))
    numbers, cameras = (train[:]["image"][:, 0, 0, 0] / 10).round(), natural_ids(train, "Camera")
    assert cameras == ["left" if number in (2, 4) else "right" for number in numbers]
    with pytest.raises(ConfigError, match=r"partition_by='plant' .* only folder, file, label, Camera$"):
        natural_ids(source, "plant")
    with pytest.raises(DataError, match=r"^2 images, such as 4.jpg, are in no sub-folder: nobody can tell whose"):
        natural_ids(source, "folder")
    with pytest.raises(DataError, match=r"^1 images, such as 1.png, are without a value in the column 'Camera'"):
        natural_ids(opened(table.replace("right", "", 1)), "Camera")
