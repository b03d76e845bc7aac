"""Fashion-MNIST: the real files where they are installed, made-up ones everywhere."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from dkjax.errors import DataError
from dkjax.sources import fashion_mnist
from dkjax.sources.fashion_mnist import CLASS_NAMES, DEBIAN_FOLDER, open_fashion_mnist


def _idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of four IDX files, half of them compressed."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", 30), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(_idx((np.arange(count) % 10).astype(np.uint8)))
    return tmp_path


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason=f"no {DEBIAN_FOLDER}: apt-get install dataset-fashion-mnist")
def test_real_files() -> None:
    source = open_fashion_mnist()["test"]()
    assert len(source) == 10_000
    assert source.image_shape == (28, 28, 1)
    np.testing.assert_array_equal(np.bincount(source.labels), np.full(10, 1000))
    # The first test images as everybody knows them: ankle boot, pullover, trouser, trouser, shirt.
    names = [source.class_names[label] for label in source.labels[:5]]
    assert names == ["Ankle boot", "Pullover", "Trouser", "Trouser", "Shirt"]
    # Coats are large and bright, sandals are mostly background.
    means = {
        name: source[np.flatnonzero(source.labels == CLASS_NAMES.index(name))]["image"].mean() for name in CLASS_NAMES
    }
    assert means["Sandal"] < 50 < 80 < means["Coat"]


def test_made_up_files(folder: Path) -> None:
    splits = open_fashion_mnist(folder, (32, 32), 3)
    assert {split: len(open_split()) for split, open_split in splits.items()} == {"train": 30, "test": 10}
    batch = splits["test"]()[:4]
    assert batch["image"].shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(batch["label"], [0, 1, 2, 3])
    train = splits["train"]()[:]["image"]
    assert hashlib.sha256(train.tobytes()).digest() != hashlib.sha256(batch["image"].tobytes()).digest()


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "absent")
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        open_fashion_mnist()


def test_missing_file(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"neither t10k-labels-idx1-ubyte\.gz nor t10k-labels-idx1-ubyte"):
        open_fashion_mnist(folder)["test"]()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(29, np.uint8), "30 train images but labels of shape"),
        ("train-labels-idx1-ubyte", np.zeros((30, 1), np.uint8), "30 train images but labels of shape"),
        ("train-labels-idx1-ubyte", np.full(30, 10, np.uint8), r"record 0 has label 10, outside 0\.\.9"),
        ("train-images-idx3-ubyte.gz", np.zeros((30, 784), np.uint8), "2 dimensions, expected 3"),
    ],
)
def test_files_that_do_not_fit(folder: Path, name: str, array: np.ndarray, message: str) -> None:
    (folder / name).write_bytes(_idx(array))
    with pytest.raises(DataError, match=message):
        open_fashion_mnist(folder)["train"]()
