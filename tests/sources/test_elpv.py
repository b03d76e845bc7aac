"""Solar cells: labels from a list, images from the files that it names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.errors import ArgumentError, DataError, MissingPackageError
from dkjax.sources import open_source, read_all
from dkjax.sources.elpv import open_elpv

LINES = (
    "images/cell0001.png  1.0                 mono",
    "images/cell0002.png  0.3333333333333333  mono",
    "images/cell0003.png  0.0                 poly",
    "images/cell0004.png  0.6666666666666666  poly",
    "images/cell0005.png  0.5                 mono",
)


def write(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Five cells, each of one grey, under the names of the real ones."""
    (tmp_path / "images").mkdir()
    for number in range(1, 6):
        Image.new("L", (30, 30), number).save(tmp_path / f"images/cell{number:04}.png")
    return write(tmp_path, *LINES)


def test_images_and_labels_are_in_the_order_of_the_list(cells: Path) -> None:
    splits = open_elpv(cells, (20, 25))
    assert set(splits) == {"train"}
    source = splits["train"]()
    assert source.class_names == ("functional", "defective")
    assert source.image_shape == (20, 25, 1)
    batch = read_all(source, 2)
    np.testing.assert_array_equal(batch["image"], np.arange(1, 6)[:, None, None, None] * np.ones((1, 20, 25, 1)))
    np.testing.assert_array_equal(batch["label"], [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(source.labels, batch["label"])
    np.testing.assert_array_equal(source[np.array([3, 1])]["image"][:, 0, 0, 0], [4, 2])


def test_likely_modules_are_not_divided(tmp_path: Path) -> None:
    """Stretches as long as those of the real list are 18 modules of the one kind and 26 of the other."""
    stretches = (60, 300, 180, 360, 714, 530, 72, 180, 48, 180)
    kinds = [kind for n, kind in zip(stretches, ["mono", "poly"] * 5, strict=True) for _ in range(n)]
    names = [f"images/cell{number:04}.png" for number in range(1, len(kinds) + 1)]
    write(
        tmp_path, *(f"{name} {number % 2} {kind}" for number, (name, kind) in enumerate(zip(names, kinds, strict=True)))
    )
    whole = open_elpv(tmp_path)["train"]()
    assert whole.groups is not None
    modules = {
        kind: {group for group, of in zip(whole.groups, kinds, strict=True) if of == kind} for kind in set(kinds)
    }
    assert (len(modules["mono"]), len(modules["poly"])) == (18, 26)
    assert not modules["mono"] & modules["poly"]
    sizes = np.bincount(whole.groups)
    assert (sizes.min(), sizes.max(), sizes.sum()) == (48, 72, 2624)
    (tmp_path / "images").mkdir()
    for name, module in zip(names, whole.groups, strict=True):
        Image.new("L", (1, 1), int(module)).save(tmp_path / name)
    train, test = (
        set(open_source(f"elpv:{tmp_path}", split, image_size=(1, 1))[:]["image"].ravel().tolist())
        for split in ("train", "test")
    )
    assert train | test == set(range(44))
    assert not train & test


def test_order_of_other_cells_tells_nothing(cells: Path) -> None:
    assert open_elpv(cells)["train"]().groups is None


def test_size_and_channels(cells: Path) -> None:
    assert open_elpv(cells)["train"]()[:]["image"].shape == (5, 300, 300, 1)
    assert open_elpv(cells, (8, 8), 3)["train"]()[:]["image"].shape == (5, 8, 8, 3)
    with pytest.raises(ArgumentError, match="channels must be 1"):
        open_elpv(cells, channels=4)["train"]()


def test_a_missing_image_is_skipped(cells: Path) -> None:
    (cells / "images/cell0002.png").unlink()
    (cells / "images/cell0004.png").write_text("no image")
    source = open_elpv(cells, (8, 8))["train"]()
    assert not source.skipped
    for _ in range(2):
        np.testing.assert_array_equal(source[:]["label"], [1, 0, 1])
    assert len(source) == 5
    assert [name for name, _ in source.skipped] == ["images/cell0002.png", "images/cell0004.png"]
    assert "No such file" in source.skipped[0].reason


def test_blank_lines_and_windows_ends_are_passed_over(cells: Path) -> None:
    (cells / "labels.csv").write_bytes("\r\n".join(["", *LINES, " ", ""]).encode())
    assert len(open_elpv(cells)["train"]()) == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("images/b.png 1.0", "expected a path, a probability and a kind with spaces between, got 2 words"),
        ("images/b.png 1.0 mono new", "with spaces between, got 4 words"),
        ("images/b.png,1.0,mono", "with spaces between, got 1 words"),
        ("images/b.png yes mono", "expected a probability from 0 to 1, got yes"),
        ("images/b.png 1.1 mono", "expected a probability from 0 to 1, got 1.1"),
        ("images/b.png nan mono", "expected a probability from 0 to 1, got nan"),
        ("/images/b.png 1.0 mono", "expected a path below the folder of labels.csv, got /images/b.png"),
        ("images/../../b.png 1.0 mono", "expected a path below the folder of labels.csv, got images/../../b.png"),
        ("images/cell0001.png 0.0 mono", "images/cell0001.png has a label already"),
    ],
)
def test_a_line_that_says_something_else_is_told_by_its_number(line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_elpv(write(tmp_path, LINES[0], "", line, LINES[1]))
    assert f"{tmp_path / 'labels.csv'}, line 3: " in str(caught.value)
    assert reason in str(caught.value)


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*labels\.csv: pip install elpv-dataset, or name the folder"):
        open_elpv(tmp_path)
    with pytest.raises(DataError, match=r"labels\.csv is empty; expected a line for each image"):
        open_elpv(write(tmp_path, "", " "))
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"labels\.csv is not text"):
        open_elpv(tmp_path)
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.csv").mkdir()
    with pytest.raises(DataError, match=r"labels\.csv cannot be read: Is a directory"):
        open_elpv(tmp_path)


def test_the_package_is_found_or_asked_for(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])  # whether or not the package is installed here
    with pytest.raises(MissingPackageError, match=r"the source elpv needs elpv-dataset, .* pip install elpv-dataset"):
        open_elpv()
    package = cells.parent / "installed" / "elpv_dataset"
    (package / "data").parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError")
    cells.rename(package / "data")
    monkeypatch.setattr("sys.path", [str(package.parent)])
    assert len(open_elpv()["train"]()[:]["label"]) == 5
