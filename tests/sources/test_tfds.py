"""Data sets of TensorFlow Datasets, prepared here without TensorFlow and read as they would be."""

import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tfds import prepare_cifar10, prepare_tfds
from PIL import Image

from dkjax.errors import ConfigError, DataError
from dkjax.sources import read_all
from dkjax.sources.tfds import open_tfds

Prepare = Callable[..., Path]


def _picture(number: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def _png(number: int, **size: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_picture(number, **size)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Make a function that prepares a data set below a folder, and returns the folder."""
    return functools.partial(prepare_tfds, tmp_path)


def _records(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"image": _picture(number), "label": number % 2} for number in range(start, start + count)]


def _sorted(images: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


def test_tensor_images(prepare: Prepare) -> None:
    folder = prepare("tiny_tensors", {"train": _records(10), "test": _records(4, start=10)})
    splits = open_tfds("tiny_tensors", folder)
    train, test = splits["train"](), splits["test"]()
    assert (len(train), len(test)) == (10, 4)
    assert train.class_names == ("cat", "dog")
    assert train.image_shape == (8, 8, 3)
    batch = read_all(train, 3)
    assert _sorted(batch["image"]) == _sorted(np.stack([_picture(number) for number in range(10)]))
    label_of = {_picture(number).tobytes(): number % 2 for number in range(10)}
    assert [label_of[image.tobytes()] for image in batch["image"]] == batch["label"].tolist()
    np.testing.assert_array_equal(train.labels, batch["label"])
    np.testing.assert_array_equal(train[np.array([4, 4, 1])]["image"], batch["image"][[4, 4, 1]])


def test_size_and_channels(prepare: Prepare) -> None:
    folder = prepare("tiny_sizes", {"train": _records(3)})
    source = open_tfds("tiny_sizes", folder, (4, 6), 1)["train"]()
    assert source[:]["image"].shape == (3, *source.image_shape) == (3, 4, 6, 1)


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """Prepare data under the name and version of CIFAR-10, two of whose images cannot be decoded."""

    def records(count: int) -> list[dict[str, Any]]:
        return [{"image": _png(number, height=32, width=32), "label": number % 10} for number in range(count)]

    train = records(20)
    train[3]["image"] = b"no image"
    train[7]["image"] = train[7]["image"][:200]
    return prepare_cifar10(tmp_path, {"train": train, "test": records(5)})


def test_encoded_images_of_a_known_data_set(cifar10: Path) -> None:
    splits = open_tfds("cifar10", cifar10)
    train = splits["train"]()
    assert train.class_names[:3] == ("airplane", "automobile", "bird")
    assert train.image_shape == (32, 32, 3)
    for _ in range(2):
        batch = read_all(train, 7)
        expected = {_picture(n, 32, 32).tobytes(): n % 10 for n in range(20) if n not in (3, 7)}
        assert {image.tobytes(): int(label) for image, label in zip(*batch.values(), strict=True)} == expected
    assert len(train.labels) == len(train) == 20
    assert len(train.skipped) == 2
    assert all(name.startswith("train/") for name, _ in train.skipped)
    assert sorted(reason.split()[0] for _, reason in train.skipped)[1] == "not"
    assert len(splits["test"]()[:]["label"]) == 5


def test_tensorflow_is_not_imported(cifar10: Path) -> None:
    code = """
import socket, sys
def refuse(*_): raise RuntimeError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
import dkjax.sources
from dkjax.sources import open_source
assert "tensorflow_datasets" not in sys.modules
source = open_source(f"tfds:cifar10@{sys.argv[1]}", "train")
assert source[:5]["image"].shape[1:] == (32, 32, 3)
assert "tensorflow" not in sys.modules and "jax" not in sys.modules
"""
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    subprocess.run([sys.executable, "-c", code, str(cifar10)], check=True, env=environment)


def test_damaged_file_is_told(prepare: Prepare) -> None:
    folder = prepare("tiny_damaged", {"train": _records(6)})
    (path,) = folder.glob("tiny_damaged/1.0.0/*train*")
    content = bytearray(path.read_bytes())
    place = content.find(_picture(2).tobytes()[:16])
    source = open_tfds("tiny_damaged", folder)["train"]()
    if place >= 0:
        content[place] ^= 1
    else:
        # Records are compressed: spoil the middle of the file.
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    try:
        batch = read_all(source)
    except DataError as error:
        assert "none of the 6 records" in str(error)
    else:
        assert len(batch["label"]) + len(source.skipped) == 6
    assert source.skipped
    assert "damaged record" in source.skipped[0].reason
    with pytest.raises(DataError, match="label of tfds:tiny_damaged"):
        _ = source.labels


def test_hidden_test_labels_mean_validation(prepare: Prepare) -> None:
    secret = [record | {"label": -1} for record in _records(2)]
    folder = prepare("tiny_secret", {"train": _records(4), "validation": _records(3), "test": secret})
    assert len(open_tfds("tiny_secret", folder)["test"]()) == 3


def emptied(folder: Path, name: str, split: str) -> Path:
    """Take all records from a split; TFDS itself does not write an empty one."""
    (info,) = (folder / name).rglob("dataset_info.json")
    tree = json.loads(info.read_text())
    (one,) = (one for one in tree["splits"] if one["name"] == split)
    one["shardLengths"], one["numBytes"] = ["0"], "0"
    info.write_text(json.dumps(tree))
    return folder


def test_an_empty_split(prepare: Prepare) -> None:
    two = {"train": _records(4), "test": _records(3)}
    folder = emptied(prepare("tiny_empty", two | {"validation": _records(2)}), "tiny_empty", "test")
    assert len(open_tfds("tiny_empty", folder)["test"]()) == 2
    emptied(prepare("tiny_empty_test", two), "tiny_empty_test", "test")
    assert set(open_tfds("tiny_empty_test", folder)) == {"train"}
    emptied(prepare("tiny_empty_train", two), "tiny_empty_train", "train")
    with pytest.raises(DataError, match=r"tiny_empty_train in .* has no images in its split train: prepare it again"):
        open_tfds("tiny_empty_train", folder)["train"]()


def test_no_test_split(prepare: Prepare) -> None:
    folder = prepare("tiny_train", {"train": _records(4)})
    assert set(open_tfds("tiny_train", folder)) == {"train"}
    folder = prepare("tiny_test", {"test": _records(4)})
    with pytest.raises(DataError, match="no split train, only test"):
        open_tfds("tiny_test", folder)


def test_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar10 is not prepared .* tfds build cifar10 --file_format=array_record"):
        open_tfds("cifar10", tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_random_access(cifar10: Path) -> None:
    info = cifar10 / "cifar10/3.0.2/dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match=r"no files with random access; .* --file_format=array_record"):
        open_tfds("cifar10", cifar10)["train"]()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifra10", "no data set 'cifra10'.* did you mean tfds:cifar10"),
        ("cifar10/no_such_config", "cannot be opened"),
        ("cifar10:9.9.9", "cannot be opened"),
        ("huggingface:mnist", "is no name of a data set"),
        ("../mnist", "is no name of a data set"),
        ("", "is no name of a data set"),
    ],
)
def test_wrong_names(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_tfds(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_wrong_features(prepare: Prepare) -> None:
    import tensorflow_datasets as tfds

    number = tfds.features.Scalar(dtype=np.int64)
    folder = prepare("tiny_regression", {"train": _records(2)}, label=number)
    with pytest.raises(ConfigError, match=r"features image, label; expected image .* label \(ClassLabel\)"):
        open_tfds("tiny_regression", folder)
    real = tfds.features.Tensor(shape=(8, 8, 3), dtype=np.float32)
    records = [{"image": np.zeros((8, 8, 3), np.float32), "label": 0}]
    folder = prepare("tiny_real", {"train": records}, image=real)
    with pytest.raises(ConfigError, match=r"images <class 'numpy.float32'>|images float32"):
        open_tfds("tiny_real", folder)


def test_images_that_differ_in_size_need_one(prepare: Prepare) -> None:
    import tensorflow_datasets as tfds

    anything = tfds.features.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="zlib")
    records = [{"image": _picture(number, 8 + number, 9), "label": 0} for number in range(4)]
    folder = prepare("tiny_differing", {"train": records}, image=anything)
    with pytest.raises(ConfigError, match=r"set data\.image_size"):
        open_tfds("tiny_differing", folder)["train"]()
    assert open_tfds("tiny_differing", folder, (4, 4))["train"]()[:]["image"].shape == (4, 4, 4, 3)
