"""Textiles: the image folder in a package, or a folder like it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.errors import DataError, MissingPackageError
from dkjax.sources.textiles import open_textiles

CLASSES = ("global", "local", "nominal")


def fill(folder: Path) -> Path:
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(label + 1):
            Image.new("RGB", (25, 25), 3 * (10 * label + number,)).save(folder / name / f"textile_{number:04}.png")
    return folder


def test_a_folder(tmp_path: Path) -> None:
    splits = open_textiles(fill(tmp_path), (8, 8), 1)
    assert set(splits) == {"train"}
    source = splits["train"]()
    assert source.class_names == CLASSES
    np.testing.assert_array_equal(source[:]["label"], [0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(source[:]["image"][:, 0, 0, 0], [0, 10, 11, 20, 21, 22])
    assert open_textiles(tmp_path)["train"]()[:1]["image"].shape == (1, 250, 250, 3)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        open_textiles(tmp_path / "absent")


def test_the_package_is_found_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])  # whether or not the package is installed here
    with pytest.raises(MissingPackageError, match=r"the source textiles needs conformal-clip-data, .* pip install"):
        open_textiles()
    package = tmp_path / "conformal_clip_data"
    fill(package / "data" / "textile_images" / "simulated")
    (package / "__init__.py").write_text("raise ImportError")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert len(open_textiles()["train"]()) == 6
