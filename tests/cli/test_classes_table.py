"""What `dkjax encrypt` says of classes before it writes anything, and when it asks."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dkjax.cli import classes_table
from dkjax.cli.main import app
from dkjax.dkds import open_data_set
from dkjax.errors import DataError
from dkjax.sources import ArraySource
from dkjax.sources.survey import survey

SMALL = ["--set", "data.image_size=16", "--set", "scheme.block_size=4"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, count in (("crack", 3), ("whole", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def run(*args: str, code: int = 0):
    result = CliRunner().invoke(app, ["encrypt", *args])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def test_the_table(photos: Path) -> None:
    (photos / "stain").mkdir()
    (photos / "crack/notes.txt").write_text("no image")
    (photos / "0.png").write_bytes((photos / "crack/0.png").read_bytes())
    for more in (["--dry-run"], []):
        said = run("photos", "--out", "a.dkds", *more, *SMALL).stderr.splitlines()
        assert [line.split() for line in said[:4]] == [
            ["class", "images", "skipped"],
            ["crack", "3", "1"],
            ["stain", "0", "0"],
            ["whole", "2", "0"],
        ]
        assert said[4] == "Class names leave the site as they are written here."
        assert said[5].startswith("skipped: 1 file, such as crack/notes.txt: not an image file")
        assert "left out: 0.png: beside the class folders; put it into the folder of its class" in said
        assert "warning: no image of class 'stain'" in said
    assert open_data_set(Path("a.dkds")).class_names == ("crack", "stain", "whole")


def test_the_table_in_json(photos: Path) -> None:
    (photos / "0.png").touch()
    told = json.loads(run("photos", "--out", "a.dkds", "--dry-run", "--json", *SMALL).stdout)
    assert told["classes"] == {"crack": 3, "whole": 2}
    assert told["left_out"][0]["name"] == "0.png"


def test_a_doubt_stops_where_nobody_can_be_asked(photos: Path) -> None:
    (photos / "crack").rename(photos / "Whole")
    refused = run("photos", "--out", "a.dkds", *SMALL, code=4)
    assert "the classes 'Whole' and 'whole' look alike" in refused.stderr.splitlines()[-1]
    assert refused.stderr.rstrip().endswith("add --yes")
    assert not Path("a.dkds").exists()
    run("photos", "--out", "a.dkds", "--dry-run", *SMALL)
    run("photos", "--out", "a.dkds", "--yes", *SMALL)
    assert open_data_set(Path("a.dkds")).class_names == ("Whole", "whole")


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    found = survey(ArraySource(np.zeros((2, 4, 4), np.uint8), np.arange(2), ("a", "A")))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(classes_table.typer, "confirm", lambda *_, **__: answer)
    if answer:
        classes_table.go_on(found, yes=False)
    else:
        with pytest.raises(DataError, match="as you chose"):
            classes_table.go_on(found, yes=False)


def test_a_class_that_lost_all_its_images_is_named(photos: Path) -> None:
    whole = (photos / "whole/0.png").read_bytes()
    for number in range(2):
        (photos / "whole" / f"{number}.png").write_bytes(whole[: len(whole) // 2])
    result = run("photos", "--out", "a.dkds", *SMALL)
    assert "all 2 images of class 'whole' were skipped" in result.stdout
    assert len(open_data_set(Path("a.dkds"))) == 3


def test_many_classes_are_cut_short(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"class {number}" for number in range(100))
    classes_table.show_classes(survey(ArraySource(np.zeros((100, 4, 4), np.uint8), np.arange(100), names)))
    said = capsys.readouterr().err
    assert "... and 60 more classes" in said
    assert "100 classes with 1 images each" in said


def test_parts_of_a_source_are_not_said_to_lose_classes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLURM"):
            monkeypatch.delenv(name)
    result = run("photos", "--out", "a.dkds", "--shard", "0/4", *SMALL)
    assert "were skipped" not in result.stdout


def test_labels_from_a_table(photos: Path) -> None:
    for path in sorted(photos.rglob("*.png")):
        path.rename(photos / f"{path.parent.name[0]}{path.name}")
    for folder in ("crack", "whole"):
        (photos / folder).rmdir()
    rows = [f"{path.name},{'scratch' if path.name[0] == 'c' else 'none'}" for path in sorted(photos.glob("*.png"))]
    Path("labels.csv").write_text("\n".join(["filename,label", *rows[:-1]]))
    result = run("photos", "--labels", "labels.csv", "--out", "a.dkds", *SMALL)
    assert "left out: w1.png: not in the table of labels" in result.stderr
    data_set = open_data_set(Path("a.dkds"))
    assert (data_set.class_names, np.bincount(data_set.labels).tolist()) == (("none", "scratch"), [1, 3])
    assert run("photos", "--out", "b.dkds", *SMALL, code=4).stderr.splitlines()[-1].endswith("or a table: --labels")
