"""Folders of photographs as people have them."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.sources import read_all
from dkjax.sources.image_folder import ImageFolderSource, open_image_folder

Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Make a function that writes images, each of one colour, to the given paths."""

    def write(*names: str) -> Path:
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 8), (number, 10, 20)).save(path, "PNG")
        return tmp_path

    return write


def test_order_is_by_name(fill: Fill) -> None:
    folder = fill("b/2.png", "b/10.png", "a/z/1.png", "a/y.png", "B/1.png")
    source = ImageFolderSource(folder, (8, 12))
    assert source.class_names == ("B", "a", "b")
    batch = read_all(source, 2)
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], [4, 3, 2, 1, 0])
    np.testing.assert_array_equal(batch["label"], [0, 1, 1, 2, 2])
    np.testing.assert_array_equal(source.labels, batch["label"])


def test_repeated_and_reordered_indices(fill: Fill) -> None:
    source = ImageFolderSource(fill("a/0.png", "a/1.png", "b/2.png"), (4, 4), channels=1)
    batch = source[np.array([2, 0, 2])]
    assert batch["image"].shape == (3, 4, 4, 1)
    np.testing.assert_array_equal(batch["label"], [1, 0, 1])
    np.testing.assert_array_equal(batch["image"][0], batch["image"][2])
    assert source[:0]["image"].shape == (0, 4, 4, 1)


def test_hidden_files_are_not_looked_at(fill: Fill) -> None:
    folder = fill("a/0.png", "a/.1.png", "a/.thumbs/2.png", ".git/3.png", "b/4.png")
    (folder / "README.txt").write_text("not in a class")
    source = ImageFolderSource(folder, (4, 4))
    assert len(read_all(source)["label"]) == len(source) == 2
    assert not source.skipped


def test_unreadable_files_are_skipped_and_told(fill: Fill) -> None:
    folder = fill("cat/1.png", "cat/4.png", "dog/1.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "cat/2.jpg")
    whole = (folder / "cat/2.jpg").read_bytes()
    (folder / "cat/2.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cat/3.png").write_text("I am a text")
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(folder / "dog/2.png")
    source = ImageFolderSource(folder, (8, 12))
    for _ in range(2):
        batch = read_all(source, 3)
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], [0, 1, 2])
        np.testing.assert_array_equal(batch["label"], [0, 0, 1])
    assert len(source) == 6
    assert [name for name, _ in source.skipped] == ["cat/2.jpg", "cat/3.png", "dog/2.png"]
    reasons = [reason for _, reason in source.skipped]
    assert "truncated" in reasons[0]
    assert reasons[1].startswith("not an image file")
    assert "8 bits" in reasons[2]


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"none of the 1 records could be read; the first, a/notes\.txt: not an image"):
        read_all(ImageFolderSource(tmp_path, (4, 4)))


def test_orientation(tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / "a/1.png", exif=exif)
    np.testing.assert_array_equal(ImageFolderSource(tmp_path, (8, 12))[:]["image"][0], upright)


def test_a_class_without_images_is_a_class(fill: Fill) -> None:
    folder = fill("a/0.png", "b/.hidden.png", "c/1.png")
    source = ImageFolderSource(folder, (4, 4))
    assert source.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(source.labels, [0, 2])


def test_no_class_has_an_image(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"the class folders a, b are empty; put images in them"):
        ImageFolderSource(fill("a/.0.png", "b/@eaDir/1.png"), (4, 4))


def test_agreed_classes_decide_the_labels(fill: Fill) -> None:
    splits = open_image_folder(fill("a/0.png", "c/1.png"), (8, 12), classes=("c", "b", "a"))
    source = splits["train"]()
    assert source.class_names == ("c", "b", "a")
    np.testing.assert_array_equal(source[:]["label"], [0, 2])
    np.testing.assert_array_equal(source[:]["image"][:, 0, 0, 0], [1, 0])
    with pytest.raises(DataError, match=r"class folder 'c' that is not in data\.classes \(a, b\)"):
        open_image_folder(fill(), (4, 4), classes=("a", "b"))["train"]()


def test_both_normal_forms_are_one_class(fill: Fill) -> None:
    folder = fill("de\u0301faut/0.png", "d\u00e9faut/1.png", "bon/2.png")
    source = ImageFolderSource(folder, (8, 12))
    assert source.class_names == ("bon", "d\u00e9faut")
    assert sorted(source[:]["image"][source.labels == 1][:, 0, 0, 0].tolist()) == [0, 1]


def test_a_class_folder_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"d\xe9faut")).mkdir()
    with pytest.raises(DataError, match=r"the class name 'd\\xe9faut' is not UTF-8") as refused:
        ImageFolderSource(tmp_path, (4, 4))
    assert str(refused.value).isprintable()


def test_what_is_left_out_is_named(fill: Fill) -> None:
    folder = fill("a/0.png", "b/1.png", "2.png", "3.png", "$RECYCLE.BIN/4.png", "a/@eaDir/5.png")
    (folder / "a/more").symlink_to(folder / "b")
    source = ImageFolderSource(folder, (4, 4))
    assert len(source) == 2
    assert source.findings.left_out == (
        ("a/more", "leads to a folder that is read already"),
        ("2.png and 1 more", "beside the class folders; put it into the folder of its class"),
        ("$RECYCLE.BIN (1 times)", "a folder that the system made for itself"),
        ("@eaDir (1 times)", "a folder that the system made for itself"),
    )
    assert not source.findings.doubts


@pytest.mark.parametrize("name", ["test", "val", "valid", "Validation", "testing"])
def test_train_and_test_level(fill: Fill, name: str) -> None:
    splits = open_image_folder(fill("train/a/0.png", "train/b/1.png", "train/c/2.png", f"{name}/c/3.png"), (8, 12))
    train, test = splits["train"](), splits["test"]()
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert (len(train), len(test)) == (3, 1)
    np.testing.assert_array_equal(test[:]["label"], [2])
    np.testing.assert_array_equal(test[:]["image"][0, 0, 0], [3, 10, 20])


@pytest.mark.parametrize(
    "others", [(), ("docs/README.txt",), ("__MACOSX/train/._0.png",), ("valid/a/2.png",), ("Val/3.png",)]
)
def test_parts_of_a_data_set_never_become_classes(fill: Fill, others: tuple[str, ...]) -> None:
    folder = fill("train/a/0.png", "train/b/1.png", "test/a/2.png", *others)
    splits = open_image_folder(folder, (8, 12))
    train, test = splits["train"](), splits["test"]()
    assert train.class_names == test.class_names == ("a", "b")
    assert train[:]["image"][:, 0, 0, 0].tolist() == [0, 1]
    assert test[:]["image"][:, 0, 0, 0].tolist() == [2]
    left_out = dict(train.findings.left_out)
    assert left_out["test/"] == "kept for testing; take it with --split test"
    assert set(left_out) - {"test/"} <= {f"{name.split('/')[0]}/" for name in others}
    assert train.findings.notes == ("training images are those in train/",)


def test_parts_beside_classes_are_refused(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"has train/, a part of a data set .* beside whole/ with images"):
        open_image_folder(fill("train/a/0.png", "whole/1.png"), (4, 4))
    classes = open_image_folder(fill(), (4, 4), classes=("train", "whole"))["train"]()
    assert classes.class_names == ("train", "whole")


@pytest.mark.parametrize(
    ("files", "doubt"),
    [
        (("images/0.png", "images/1.png"), r"images/ is the only folder .* becomes one class"),
        (("images/0.png", "train.csv"), r"train\.csv lies beside it: .* --labels .*/train\.csv"),
        (("photos-2025/a/0.png", "photos-2025/b/1.png"), r"holds folders alone \(a, b\): .* name .*/photos-2025 as"),
        (("photos/a/0.png", "photos/b/1.png"), r"photos/ is the only folder .* name .*/photos as the source"),
        (("train/0.png", "plane/1.png"), r"train/ becomes a class, though its name is that of a part"),
        (("a/train/0.png", "b/train/1.png", "b/test/2.png"), r"the classes have folders test/, train/ in them"),
    ],
)
def test_what_is_easily_a_mistake_is_doubted(fill: Fill, files: tuple[str, ...], doubt: str) -> None:
    folder = fill(*files)
    source = open_image_folder(folder, (4, 4))["train"]()
    assert [re.search(doubt, sentence) is not None for sentence in source.findings.doubts] == [True]
    agreed = open_image_folder(folder, (4, 4), classes=source.class_names)["train"]()
    assert not agreed.findings.doubts


@pytest.mark.parametrize(
    "files", [("a/0.png", "b/1.png"), ("a/0.png",), ("a/0.png", "images/1.png"), ("a/0.png", "notes.csv")]
)
def test_plain_classes_are_not_doubted(fill: Fill, files: tuple[str, ...]) -> None:
    assert not open_image_folder(fill(*files), (4, 4))["train"]().findings.doubts


def test_level_is_only_taken_for_one_where_it_is(fill: Fill) -> None:
    splits = open_image_folder(fill("train/0.png", "plane/1.png"), (4, 4))
    assert set(splits) == {"train"}
    assert splits["train"]().class_names == ("plane", "train")


def test_train_level_alone(fill: Fill) -> None:
    splits = open_image_folder(fill("train/a/0.png", "train/b/1.png"), (4, 4))
    assert set(splits) == {"train"}
    assert splits["train"]().class_names == ("a", "b")


def test_test_class_that_training_has_not(fill: Fill) -> None:
    splits = open_image_folder(fill("train/a/0.png", "test/x/1.png"), (4, 4))
    with pytest.raises(DataError, match=r"class folder 'x' that training has not"):
        splits["test"]()


def test_test_level_without_train(fill: Fill) -> None:
    with pytest.raises(DataError, match="has test/ but no train/"):
        open_image_folder(fill("test/a/0.png"), (4, 4))


def test_no_class_folder(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "0.png")
    with pytest.raises(DataError, match="no class folder"):
        open_image_folder(tmp_path, (4, 4))["train"]()
    with pytest.raises(DataError, match="no folder"):
        open_image_folder(tmp_path / "absent", (4, 4))


def test_settings_that_do_not_fit(fill: Fill) -> None:
    folder = fill("a/0.png")
    with pytest.raises(ConfigError, match="image_size"):
        open_image_folder(folder, None)
    with pytest.raises(ArgumentError, match="channels must be 1"):
        open_image_folder(folder, (4, 4), 4)["train"]()
