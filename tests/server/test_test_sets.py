"""Test sets: encrypted ones where they lie, plain ones brought to the model's shape, and nothing that does not fit."""

from pathlib import Path

import numpy as np
import pytest
from made_data_sets import arrays, digits, encrypted
from PIL import Image

from dkjax.config import ServerDataConfig
from dkjax.dkds import open_data_set
from dkjax.errors import ConfigError, DataError
from dkjax.server.test_sets import open_test_sets
from dkjax.sources import open_source
from dkjax.train.observer import Observer

DIGITS = tuple(str(digit) for digit in range(10))
SHAPE = (8, 8, 1)


class Talk(Observer):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def reading(self, source: str) -> None:
        self.heard.append(f"reading {source}")

    def skipped(self, name: str, reason: str) -> None:
        self.heard.append(f"skipped {name}")

    def note(self, text: str) -> None:
        self.heard.append(text)


def save_npz(path: Path, count: int, test: int = 0) -> str:
    rng = np.random.default_rng(0)
    named = {"class_names": np.array(DIGITS)}
    for prefix, number in (("", count), ("test_", test)):
        if number:
            named[f"{prefix}image"] = rng.integers(0, 256, (number, 10, 12, 3), np.uint8)
            named[f"{prefix}label"] = np.arange(number) % 10
    np.savez(path, **named)
    return str(path)


def test_plain_images_are_the_share_that_training_leaves_out() -> None:
    (held_out,) = open_test_sets(["digits"], SHAPE, DIGITS, ServerDataConfig())
    talk = Talk()
    found = held_out.records(talk)[:]
    expected = open_source("digits", "test", image_size=(8, 8))[:]
    np.testing.assert_array_equal(found["image"], expected["image"])
    assert talk.heard == ["reading digits"]
    assert held_out.identity == {"name": "digits", "images": len(expected["label"])}
    (fewer,) = open_test_sets(["digits"], SHAPE, DIGITS, ServerDataConfig(test_fraction=0.5, test_images=9))
    assert len(fewer.records(Observer())) == 9


def test_all_of_a_source_that_is_not_divided(tmp_path: Path) -> None:
    one, other = save_npz(tmp_path / "one.npz", 40), save_npz(tmp_path / "other.npz", 40, test=30)
    for whole, sizes in ((False, [10, 30]), (True, [40, 30])):
        held_out = open_test_sets([one, other], SHAPE, DIGITS, ServerDataConfig(), whole)
        found = [entry.records(Observer()) for entry in held_out]
        assert [len(records) for records in found] == sizes
        assert {records[:]["image"].shape[1:] for records in found} == {SHAPE}


def test_encrypted_images_are_mapped(tmp_path: Path) -> None:
    path = encrypted(tmp_path / "test.dkds", digits(12, split="test"))
    (held_out,) = open_test_sets([str(path)], SHAPE, DIGITS, ServerDataConfig())
    talk = Talk()
    assert held_out.records(talk).pieces[0]["image"] is held_out.source.shards[0].image
    assert talk.heard == []
    assert held_out.identity == {"name": str(path), "data_set": open_data_set(path).manifest.id}


def test_a_plain_test_set_may_lack_classes(tmp_path: Path) -> None:
    for name in ("7", "2"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 10 * int(name)).save(tmp_path / "folder" / name / f"{number}.png")
    images = np.repeat(np.array([30, 90], np.uint8), 64).reshape(2, 8, 8)
    np.savez(tmp_path / "two.npz", image=images, label=[0, 1], class_names=["3", "9"])
    folder, two = open_test_sets(
        [str(tmp_path / "folder"), str(tmp_path / "two.npz")], SHAPE, DIGITS, ServerDataConfig(), whole=True
    )
    for held_out, expected in ((folder, [2, 2, 2, 7, 7, 7]), (two, [3, 9])):
        records = held_out.records(Observer())[:]
        np.testing.assert_array_equal(records["label"], expected)
        np.testing.assert_array_equal(records["image"][:, 0, 0, 0], 10 * records["label"])
    (tmp_path / "folder" / "0.png").touch()
    talk = Talk()
    (said,) = open_test_sets([str(tmp_path / "folder")], SHAPE, DIGITS, ServerDataConfig(), whole=True)
    said.records(talk)
    assert [line for line in talk.heard if "0.png is left out: beside the class folders" in line]
    (tmp_path / "folder" / "x").mkdir()
    with pytest.raises(DataError, match=r"folder has a class 'x', which is none of the classes agreed on: 0, 1"):
        open_test_sets([str(tmp_path / "folder")], SHAPE, DIGITS, ServerDataConfig())


def test_what_does_not_fit(tmp_path: Path) -> None:
    two_classes = str(encrypted(tmp_path / "two.dkds", arrays(4, ("0", "1"))))
    larger = str(encrypted(tmp_path / "larger.dkds", arrays(10, DIGITS, (16, 16, 1))))
    for names, error, message in [
        (["digits", "digits"], ConfigError, "digits is given twice"),
        (["digit"], ConfigError, "unknown source 'digit'"),
        ([two_classes], DataError, r"two\.dkds has no class 2, but the model calls class 2 '2'"),
        ([larger], DataError, r"larger\.dkds has images of shape \[16, 16, 1\], but the model of \[8, 8, 1\]"),
        ([str(tmp_path / "absent.dkds")], DataError, "there is no encrypted data set"),
    ]:
        with pytest.raises(error, match=message):
            open_test_sets(names, SHAPE, DIGITS, ServerDataConfig())
    with pytest.raises(DataError, match=r"digits: plain images have 1 or 3 channels, and the model's 2"):
        open_test_sets(["digits"], (8, 8, 2), DIGITS, ServerDataConfig())
