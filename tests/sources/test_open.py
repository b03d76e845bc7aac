"""From a name to a source."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.errors import ConfigError, DataError
from dkjax.sources import Source, open_source


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    images = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", image=images, label=np.arange(40) % 4)
    return tmp_path / "a.npz"


def test_train_and_test_are_disjoint(npz: Path) -> None:
    train = open_source(str(npz), "train", test_fraction=0.2, split_seed=5)
    test = open_source(str(npz), "test", test_fraction=0.2, split_seed=5)
    assert isinstance(train, Source)
    values = [set(source[:]["image"][:, 0, 0, 0].tolist()) for source in (train, test)]
    assert (len(values[0]), len(values[1])) == (32, 8)
    assert values[0] | values[1] == set(range(40))
    other = open_source(str(npz), "test", test_fraction=0.2, split_seed=6)
    assert set(other[:]["image"][:, 0, 0, 0].tolist()) != values[1]


def test_digits() -> None:
    train, test = (open_source("digits", split, image_size=(16, 16), channels=3) for split in ("train", "test"))
    assert len(train) + len(test) == 1797
    assert train.image_shape == (16, 16, 3)
    np.testing.assert_allclose(np.bincount(test.labels) / np.bincount(train.labels), 0.25, atol=0.02)


def test_fashion_mnist_folder(tmp_path: Path) -> None:
    for prefix, count in (("train", 20), ("t10k", 10)):
        shape = struct.pack(">3I", count, 28, 28)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(b"\0\0\x08\x03" + shape + bytes(count * 784))
        )
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + shape[:4] + bytes(count))
    assert len(open_source(f"fashion-mnist:{tmp_path}", "train")) == 20
    assert len(open_source(f"fashion-mnist:{tmp_path}", "test", image_size=(32, 32))) == 10


def test_elpv_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(10):
        Image.new("L", (5, 5), number).save(tmp_path / f"images/{number}.png")
    (tmp_path / "labels.csv").write_text("".join(f"images/{i}.png {i % 2}.0 mono\n" for i in range(10)))
    train, test = (open_source(f"elpv:{tmp_path}", split, image_size=(4, 4), channels=3) for split in ("train", "test"))
    assert (train.class_names, train.image_shape) == (("functional", "defective"), (4, 4, 3))
    seen = [source[:]["image"][:, 0, 0, 0].tolist() for source in (train, test)]
    assert sorted(seen[0] + seen[1]) == list(range(10))
    assert np.bincount(test.labels).tolist() == [1, 1]


def test_textiles_folder(tmp_path: Path) -> None:
    for number in range(9):
        path = tmp_path / ("global", "local", "nominal")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (5, 5), number).save(path)
    train, test = (open_source(f"textiles:{tmp_path}", split, channels=1) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 3)
    assert train.image_shape == (250, 250, 1)


def test_image_folder(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / "photos" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 5), (number, 0, 0)).save(path)
    (tmp_path / "photos/0/broken.png").write_text("no image")
    train = open_source(str(tmp_path / "photos"), "train", image_size=(4, 4), split_seed=1)
    test = open_source(str(tmp_path / "photos"), "test", image_size=(4, 4), split_seed=1)
    seen = [source[:]["image"][:, 0, 0, 0].tolist() for source in (train, test)]
    assert sorted(seen[0] + seen[1]) == list(range(10))
    assert [name for name, _ in (*train.skipped, *test.skipped)] == ["0/broken.png"]
    with pytest.raises(ConfigError, match="needs an image size"):
        open_source(str(tmp_path / "photos"), "train")


def test_a_folder_with_the_name_of_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits/a").mkdir(parents=True)
    Image.new("L", (5, 5)).save(tmp_path / "digits/a/0.png")
    Image.new("L", (5, 5)).save(tmp_path / "digits/a/1.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"digits is a source .* write \./digits for the folder, or dkjax:digits"):
        open_source("digits", "train")
    assert open_source("dkjax:digits", "train").class_names == tuple("0123456789")
    assert open_source("./digits", "train", image_size=(4, 4)).class_names == ("a",)


def test_a_work_directory_with_the_name_of_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits/runs").mkdir(parents=True)
    (tmp_path / "digits/config.json").write_text("{}")
    (tmp_path / "elpv").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(open_source("digits", "train"))


def test_sites_without_a_class_agree_on_labels(tmp_path: Path) -> None:
    agreed = ("crack", "stain", "whole")
    for site, names in {"a": agreed, "b": ("whole", "crack")}.items():
        for name in names:
            for number in range(4):
                path = tmp_path / site / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (5, 5), 10 * agreed.index(name)).save(path)
    images = np.arange(8, dtype=np.uint8).repeat(16).reshape(8, 4, 4)
    np.savez(tmp_path / "c.npz", image=images, label=np.arange(8) % 2, class_names=["whole", "crack"])
    np.savez(tmp_path / "d.npz", image=images, label=np.arange(8) % 2)
    sites = [open_source(str(tmp_path / name), None, image_size=(5, 5), classes=agreed) for name in "ab"]
    sites += [open_source(str(tmp_path / name), None, classes=agreed) for name in ("c.npz", "d.npz")]
    assert {site.class_names for site in sites} == {agreed}
    for site in sites[:2]:
        records = site[:]
        np.testing.assert_array_equal(records["image"][:, 0, 0, 0], 10 * records["label"])
    np.testing.assert_array_equal(sites[2].labels, [2, 0] * 4)
    np.testing.assert_array_equal(sites[2][:]["label"], [2, 0] * 4)
    np.testing.assert_array_equal(sites[3].labels, [0, 1] * 4)  # named by their order
    for split in ("train", "test"):
        part = open_source(str(tmp_path / "c.npz"), split, classes=agreed)
        assert (part.class_names, set(part.labels.tolist())) == (agreed, {0, 2})
    with pytest.raises(DataError, match=r"c\.npz has a class 'whole', which is none of the classes agreed on: crack"):
        open_source(str(tmp_path / "c.npz"), None, classes=["crack"])
    with pytest.raises(ConfigError, match=r"data\.classes has 'b' twice"):
        open_source("digits", None, classes=["b", "b"])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a\.npz is a named pipe; expected"):
        open_source(str(tmp_path / "a.npz"), None)


def test_one_image_a_class_cannot_be_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((3, 4, 4, 1), np.uint8), label=np.arange(3))
    assert len(open_source(str(tmp_path / "a.npz"), "train")) == 3
    with pytest.raises(DataError, match="cannot be split"):
        open_source(str(tmp_path / "a.npz"), "test")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "unknown source 'digit'; known are digits, .* did you mean digits"),
        ("fashion_mnist", "did you mean fashion-mnist"),
        ("", "unknown source ''"),
        ("fashion-mnist:", "fashion-mnist: needs a folder"),
        ("elpv:", "elpv: needs a folder"),
        ("textiles:", "textiles: needs a folder"),
        ("epvl", "did you mean elpv"),
        ("textile", "did you mean textiles"),
        ("tfds:", "is no name of a data set"),
    ],
)
def test_unknown_names(spec: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        open_source(spec, "train")


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        open_source(str(tmp_path / "absent"), "train")
    with pytest.raises(DataError, match="no file"):
        open_source("absent.npz", "train")
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"neither a folder nor a \.npz file"):
        open_source(str(tmp_path / "a.csv"), "train")


def test_unknown_split() -> None:
    with pytest.raises(ConfigError, match="split must be train or test, got 'val'"):
        open_source("digits", "val")  # type: ignore[arg-type]
