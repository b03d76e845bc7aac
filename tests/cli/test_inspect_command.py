"""`dkjax inspect`: what leaks comes first, then what is in it, and a picture beside it."""

import json
from pathlib import Path

import pytest
from PIL import Image
from small_data_sets import CLASSES, flip, shard_of, write_small
from typer.testing import CliRunner

import dkjax
from dkjax.cli.main import app
from dkjax.dkds.manifest import SchemeEntry
from dkjax.report.contact_sheet import is_contact_sheet


def run(*arguments: object):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_small(tmp_path / "a.dkds")
    return tmp_path / "a.dkds"


def test_for_people(path: Path) -> None:
    result = run(path)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout
    in_this_order = ["protection", "scheme", "disposable (block_size 2", "keys", "key space", "Not hidden: labels"]
    in_this_order += ["contents", "plant-a", "25 of 4 x 4 pixels, 3 channels", "scratch: ", "shards", "dkjax 0.1.0"]
    places = [text.index(word) for word in [*in_this_order, "what the server will see: "]]
    assert places == sorted(places)
    assert "seed" not in text
    assert is_contact_sheet(path.with_suffix(".png"))


def test_as_json(path: Path) -> None:
    result = run(path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    assert list(summary)[:2] == ["path", "protection"]
    protection = summary["protection"]
    assert protection["scheme"] == {
        "name": "disposable",
        "parameters": {"block_size": 2, "fixed_blocks": 0, "fixed_pixels": 0},
    }
    assert (protection["keys"], protection["key_sharing"], protection["views"]) == ("disposable", "per_image", 1)
    expected = dkjax.key_space_bits(dkjax.schemes.disposable(block_size=2), (4, 4, 3))
    assert protection["key_space_bits"] == expected
    assert protection["warnings"] == []
    assert protection["not_hidden"].startswith("Not hidden: ")
    assert (summary["client"], summary["records"], summary["shards"]) == ("plant-a", 25, 3)
    assert list(summary["records_per_class"]) == CLASSES
    assert sum(summary["records_per_class"].values()) == 25
    assert summary["image"] == {"shape": [4, 4, 3], "dtype": "uint8"}
    assert summary["picture"] == str(path.with_suffix(".png"))


def test_what_weakens_it_is_said(tmp_path: Path) -> None:
    scheme = SchemeEntry.of(dkjax.schemes.disposable(block_size=2, fixed_blocks=3, fixed_pixels=6))
    write_small(tmp_path / "a.dkds", keys="reproducible", views=3, scheme=scheme)
    text = run(tmp_path / "a.dkds").stdout
    assert "whoever knows or guesses it can decrypt every image" in text
    assert "There are 3 encryptions of every image" in text
    assert "3 of 4 blocks, which stay at their place; 6 of 12 values of each block" in text


def test_many_classes(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", class_names=[f"class {number}" for number in range(100)])
    assert "and 80 more, which --json lists" in run(tmp_path / "a.dkds").stdout
    assert len(json.loads(run(tmp_path / "a.dkds", "--json").stdout)["records_per_class"]) == 100


def test_picture_elsewhere(path: Path, tmp_path: Path) -> None:
    result = run(path, "--picture", tmp_path / "other.png", "--json")
    assert json.loads(result.stdout)["picture"] == str(tmp_path / "other.png")
    assert is_contact_sheet(tmp_path / "other.png")
    assert not path.with_suffix(".png").exists()
    result = run(path, "--picture", tmp_path / "absent" / "other.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("dkjax: ")
    assert result.stderr.count("\n") == 1


def test_another_picture_is_left_alone(path: Path) -> None:
    Image.new("RGB", (9, 9)).save(path.with_suffix(".png"))
    before = path.with_suffix(".png").read_bytes()
    result = run(path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["picture"] is None
    assert "is another picture; dkjax inspect --picture draws elsewhere" in result.stderr
    assert path.with_suffix(".png").read_bytes() == before


def test_its_own_picture_is_drawn_anew(path: Path) -> None:
    for _ in range(2):
        assert run(path).stderr == ""


def test_damaged(path: Path) -> None:
    flip(shard_of(path, 1), 9)
    for arguments in ([path], [path, "--json"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith(f"dkjax: {shard_of(path, 1)} is no shard: ")
        assert result.stderr.count("\n") == 1
    assert not path.with_suffix(".png").exists()


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", label=9)
    result = run(tmp_path / "a.dkds")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "record 0 has label 9, outside 0..2" in result.stderr


@pytest.mark.parametrize("name", ["absent.dkds", "file.dkds"])
def test_no_data_set(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.dkds").touch()
    result = run(tmp_path / name)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("dkjax: there is no encrypted data set")
