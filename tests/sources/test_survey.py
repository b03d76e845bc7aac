"""What a person is told of a source before anything of it leaves."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax.sources import ArraySource, Subset, open_source
from dkjax.sources.survey import lost_classes, survey


def arrays(counts: dict[str, int]) -> ArraySource:
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    return ArraySource(np.zeros((len(labels), 4, 4, 1), np.uint8), labels, tuple(counts))


@pytest.mark.parametrize(
    ("counts", "warnings", "doubts"),
    [
        ({"crack": 6, "whole": 7}, [], []),
        ({"crack": 6}, ["only one class with images, 'crack'"], []),
        ({"crack": 6, "stain": 0}, ["only one class with images, 'crack'", "no image of class 'stain'"], []),
        ({"a": 6, "b": 0, "c": 4, "d": 0}, ["no image of classes 'b', 'd'"], []),
        ({f"part {i}": 3 for i in range(9)}, ["9 classes with 3 images each"], []),
        ({"Mueller, Anna": 30, "Schmidt, Jan": 40}, [], ["2 of 2 class names, such as 'Mueller, Anna'"]),
        ({"patient_0017": 30, "patient_0018": 40}, [], ["such as 'patient_0017', may name a person"]),
        ({"A 12.03.1975": 30, "2024-05-01": 40}, [], ["2 of 2 class names"]),
        ({"crack": 6, "Crack": 7}, [], ["look alike"]),
    ],
)
def test_what_should_be_known_is_said(counts: dict[str, int], warnings: list[str], doubts: list[str]) -> None:
    found = survey(arrays(counts))
    assert found.counts == counts
    for said, expected in ((found.warnings, warnings), (found.doubts, doubts)):
        assert len(said) == len(expected)
        for sentence, words in zip(said, expected, strict=True):
            assert words in sentence


def test_names_that_people_agreed_on_are_not_doubted() -> None:
    found = survey(arrays({f"case-{i}": 3 for i in range(9)}), agreed=True)
    assert not found.warnings
    assert not found.doubts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("crack", "whole"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), number).save(tmp_path / name / f"{number}.png")
    (tmp_path / "crack/4.png").write_text("no image")
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "whole/4.png")
    return tmp_path


def test_files_that_will_be_skipped_are_known_before(photos: Path) -> None:
    source = open_source(str(photos), "train", image_size=(8, 8), classes=("other", "whole", "crack"))
    found = survey(Subset(source, np.arange(len(source))))
    whole = survey(open_source(str(photos), None, image_size=(8, 8)))
    assert whole.counts == {"crack": 5, "whole": 5}
    assert {name: [one.name for one in lost] for name, lost in whole.skipped.items()} == {
        "crack": ["crack/4.png"],
        "whole": ["whole/4.png"],
    }
    assert found.counts["other"] == 0
    assert set(found.skipped) <= {"whole", "crack"}


def test_time_is_limited(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 20.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    found = survey(open_source(str(photos), None, image_size=(8, 8)))
    assert not found.skipped
    assert found.notes == ("the first 0 of 10 files were looked at; more may be skipped",)


def test_a_class_that_lost_all_its_images() -> None:
    found = survey(arrays({"a": 3, "b": 2, "c": 0}))
    assert lost_classes(found, np.array([0, 0])) == ["all 2 images of class 'b' were skipped"]
    assert not lost_classes(found, np.array([0, 1]))
