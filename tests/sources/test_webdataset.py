"""Tar files of samples, as WebDataset has them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.errors import ConfigError, DataError
from dkjax.sources import open_source


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, "PNG")
    return buffer.getvalue()


def test_samples_are_told_by_their_first_dot(tmp_path: Path) -> None:
    members = {
        "a/1.seg.png": png(99),  # of the same sample as a/1.png, and before it
        "a/1.png": png(10),
        "a/1.cls": b"2\n",
        "b/1.png": png(20),
        "b/1.cls": b"0",
        "3.png": png(30),
        "3.json": json.dumps({"label": 1}).encode(),
        "4.png": png(40),
        "._4.png": b"no",
        "5.cls": b"1",
    }
    source = open_source(str(tar(tmp_path / "a.tar", members)), None, image_size=(8, 8), channels=1)
    records = source[:]
    np.testing.assert_array_equal(records["image"][:, 0, 0, 0], [10, 20, 30])
    np.testing.assert_array_equal(records["label"], [2, 0, 1])
    assert source.class_names == ("0", "1", "2")
    assert [name for name, _ in source.findings.left_out] == ["a.tar: 4 (2 in all)"]


def test_several_files_and_names_of_classes(tmp_path: Path) -> None:
    tar(tmp_path / "b.tar", {"1.png": png(3), "1.cls": b"whole", "2.png": b"no image", "2.cls": b"crack"})
    tar(tmp_path / "a.tar", {"1.png": png(5), "1.cls": "de\u0301faut".encode()})
    source = open_source(str(tmp_path), None, image_size=(8, 8), channels=1)
    assert source.class_names == ("crack", "d\u00e9faut", "whole")
    records = source[:]
    np.testing.assert_array_equal(records["image"][:, 0, 0, 0], [5, 3])
    np.testing.assert_array_equal(records["label"], [1, 2])
    assert [name for name, _ in source.skipped] == ["image 2"]
    (tmp_path / "crack").mkdir()
    with pytest.raises(DataError, match="the class folders crack are empty"):  # a tar beside class folders is none
        open_source(str(tmp_path), None, image_size=(8, 8))
    numbers = tar(tmp_path / "c.tar", {"1.png": png(3), "1.cls": b"1"})
    assert open_source(str(numbers), None, image_size=(8, 8), classes=("a", "b")).class_names == ("a", "b")


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no sample with an image and a label"):
        open_source(str(tar(tmp_path / "a.tar", {"1.png": png(1)})), None, image_size=(8, 8))
    with pytest.raises(DataError, match="a compressed one has to be unpacked"):
        open_source(str(tar(tmp_path / "b.tar", {"1.png": png(1)}, "w:gz")), None, image_size=(8, 8))
    with pytest.raises(DataError, match="label cannot be read"):
        open_source(str(tar(tmp_path / "c.tar", {"1.json": b"["})), None, image_size=(8, 8))
    whole = tar(tmp_path / "d.tar", {"1.png": png(3), "1.cls": b"1"})
    with pytest.raises(ConfigError, match="image size"):
        open_source(str(whole), None)
    with pytest.raises(DataError, match=r"has label 7, outside 0\.\.1"):
        open_source(
            str(tar(tmp_path / "e.tar", {"1.png": png(3), "1.cls": b"7"})), None, image_size=(8, 8), classes=("a", "b")
        )
