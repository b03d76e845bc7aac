"""`dkjax predict`: classes and probabilities for people, as JSON and as CSV; what is wrong in one line."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from small_data_sets import write_small
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.models.vit import vit
from dkjax.server.predict import predict_images
from dkjax.train.trained_model import Trained, load_trained, save_trained

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8, pool="mean")
NAMES = ("scratch", "dent", "wh\x1b[2Jole")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    noise = np.random.default_rng(0)
    params = MODEL.init(jax.random.key(1), (8, 8, 3))
    params["head"]["kernel"] = noise.standard_normal((8, 3)).astype(np.float32)  # zero before training
    for where in ("run", "sim/arms/plain/run-0"):
        save_trained(folder / where, Trained(MODEL, params, (8, 8, 3), NAMES))
    (folder / "sim/arms/plain/run-0/result.json").write_text("{}")
    (folder / "p").mkdir()
    for number in range(6):
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / "p" / f"{number}.png")
    (folder / "p" / "note\x07.txt").write_text("no image")
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def expected(folder: Path) -> np.ndarray:
    images = np.stack([np.asarray(Image.open(folder / "p" / f"{number}.png")) for number in range(6)])
    found = predict_images(load_trained(folder / "run"), images)
    assert len(set(found.argmax(axis=1))) > 1
    return found


@pytest.mark.parametrize("workdir", ["run", "sim/arms/plain/run-0"])
def test_for_people(workdir: str, expected: np.ndarray) -> None:
    result = run(workdir, "p")
    assert result.exit_code == 0, result.stderr
    shown = [name.replace("\x1b", "\\x1b") for name in NAMES]
    lines = [f"p/{number}.png: {shown[row.argmax()]} {row.max():.1%}" for number, row in enumerate(expected)]
    assert result.stdout.splitlines() == lines
    assert result.stderr.splitlines()[0].startswith("skipped p/note\\x07.txt: not an image file")
    assert "resized" not in result.stderr


def test_json(expected: np.ndarray) -> None:
    result = run("run", "p/3.png", "p/1.png", "--json", "--top", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert told["class_names"] == list(NAMES)
    assert [one["image"] for one in told["images"]] == ["p/3.png", "p/1.png"]
    for one, row in zip(told["images"], expected[[3, 1]], strict=True):
        order = np.argsort(-row)
        assert [rank["class"] for rank in one["top"]] == [NAMES[label] for label in order[:2]]
        np.testing.assert_allclose([rank["probability"] for rank in one["top"]], row[order[:2]], atol=1e-6)
        assert (one["class"], one["probability"]) == (one["top"][0]["class"], one["top"][0]["probability"])
    assert (told["resized"], told["skipped"]) == (0, [])


@pytest.mark.parametrize("where", [["--csv"], ["--csv", "-"], ["--csv", "out.csv"], ["--csv=out.csv"]])
def test_csv(where: list[str], folder: Path, expected: np.ndarray) -> None:
    result = run("run", "p", "--top", 5, *where)
    assert result.exit_code == 0, result.stderr
    text = result.stdout
    if "out.csv" in where[-1]:
        assert (text, "written: out.csv" in result.stderr) == ("", True)
        text = Path("out.csv").read_text(encoding="utf-8")
        Path("out.csv").unlink()
    headings, *rows = csv.reader(io.StringIO(text))
    assert headings == ["image", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"]
    assert [row[0] for row in rows] == [f"p/{number}.png" for number in range(6)]
    for row, probabilities in zip(rows, expected, strict=True):
        assert row[1] == NAMES[probabilities.argmax()]  # a program gets names as they are
        np.testing.assert_allclose([float(cell) for cell in row[2::2]], -np.sort(-probabilities), atol=1e-6)


def test_another_size_is_said(tmp_path: Path) -> None:
    Image.new("L", (20, 30)).save(tmp_path / "grey.png")
    result = run("run", tmp_path / "grey.png")
    assert result.exit_code == 0
    assert result.stderr == "note: 1 of another size were resized to 8 x 8 pixels, as for training\n"


def another_version(folder: Path) -> list[object]:
    (folder / "model.json").write_text(json.dumps({"model": {"width": 8, "of_tomorrow": 1}, "image_shape": [8, 8, 3]}))
    return [folder, "p"]


def damaged_model(folder: Path) -> list[object]:
    (folder / "model.json").write_text("{")
    return [folder, "p"]


def no_image(folder: Path) -> list[object]:
    (folder / "a.txt").write_text("x")
    return ["run", folder]


def other_shape(folder: Path) -> list[object]:
    write_small(folder / "a.dkds")
    return ["run", folder / "a.dkds"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (
            lambda folder: ["absent", "p"],
            4,
            "there is no folder absent: expected the --workdir of a finished dkjax train",
        ),
        (lambda folder: [folder, "p"], 4, "there is no trained model in"),
        (lambda folder: ["sim", "p"], 4, "name one of them, such as sim/arms/plain/run-0"),
        (lambda folder: ["sim/arms/plain", "p"], 4, "name one of them, such as sim/arms/plain/run-0"),
        (another_version, 4, "model.json is damaged, or of another version of dkjax: copy it again, or train again"),
        (damaged_model, 4, "model.json is damaged"),
        (lambda folder: ["run", "absent"], 4, "no file or folder absent"),
        (lambda folder: ["run", folder], 4, "no image in the folder"),
        (no_image, 4, "a.txt: not an image file"),
        (other_shape, 4, "a.dkds has images of shape [4, 4, 3], but the model of [8, 8, 3]"),
        (lambda folder: ["run", "p", "--json", "--csv"], 2, "--json and --csv would both be printed on stdout"),
        (lambda folder: ["run", "--csv", "p/0.png", "p/1.png"], 2, "p/0.png exists and was left as it is"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: Any, exit_code: int, text: str, tmp_path: Path) -> None:
    result = run(*arguments(tmp_path))
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    errors = [line for line in result.stderr.splitlines() if not line.startswith("skipped")]
    assert len(errors) == 1 and errors[0].startswith("dkjax: ")
    assert text in errors[0]


@pytest.mark.parametrize("arguments", [["run"], ["run", "p", "--top", "0"], []])
def test_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
