"""`dkjax frontier`: on a finished and an unfinished simulation, under limits, and what it says when it cannot."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from made_up_run import write_attacks, write_simulation
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.runtime.files import read_json, write_json


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_simulation(tmp_path / "run", runs=2)
    write_attacks(tmp_path / "run" / "attacks", {"config_hash": "0" * 64})
    return tmp_path / "run"


def called(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["frontier", *map(str, arguments)])


def mean(run: Path, arm: str, view: str = "fresh_key") -> float:
    results = read_json(run / "results.json")
    assert results is not None
    found = next(one for one in results["arms"] if one["name"] == arm)
    return found["test_accuracy"][view]["mean"]


def test_names_and_recommends(run: Path) -> None:
    shown = called(run, "--max-ssim", "0.4", "--figure", run / "frontier.svg")
    assert (shown.exit_code, shown.exception) == (0, None), shown.output
    accuracy = f"{100 * mean(run, 'disposable'):.1f}"
    row = next(line for line in shown.stdout.splitlines() if line.strip().startswith("disposable"))
    assert row.split() == [
        "disposable",
        f"{100 * mean(run, 'disposable', 'plain'):.1f}",
        accuracy,
        *["0.32", "puzzle", "-", "yes"],
    ]
    assert "shared_key" in shown.stdout and "not dominated: disposable\n" in shown.stdout
    assert f"recommended: disposable, {accuracy} %, SSIM 0.32 by puzzle" in shown.stdout
    assert ">disposable</text>" in (run / "frontier.svg").read_text()


def test_json(run: Path) -> None:
    told = json.loads(called(run, "--json", "--view", "plain", "--max-ssim", "0.4").stdout)
    assert (told["view"], told["recommended"], told["non_dominated"]) == ("plain", "disposable", ["disposable"])
    assert told["settings"][0]["accuracy"]["plain"] == mean(run, "disposable", "plain")
    assert [one["non_dominated"] for one in told["settings"]] == [True, False]
    assert told["plain"] == mean(run, "plain", "plain") and told["untrained"] == told["unattacked"] == []


def unfinish(run: Path, *finished: str) -> None:
    """Leave a simulation as it is when some arms have one run of two."""
    results = read_json(run / "results.json")
    assert results is not None
    (run / "results.json").unlink()
    for arm in results["arms"]:
        if arm["name"] in finished:
            first: dict[str, Any] = {view: spread["runs"][0] for view, spread in arm["test_accuracy"].items()}
            (run / "arms" / arm["name"] / "run-0").mkdir(parents=True)
            write_json(run / "arms" / arm["name"] / "run-0" / "result.json", {"test_accuracy": first})


def test_an_unfinished_run(run: Path) -> None:
    finished = json.loads(called(run, "--json").stdout)
    results = read_json(run / "results.json")
    assert results is not None
    unfinish(run, "plain", "disposable")
    told = json.loads(called(run, "--json").stdout)
    (only,) = told["settings"]
    assert {**only, "accuracy": 0} == {**finished["settings"][0], "accuracy": 0}
    runs = results["arms"][1]["test_accuracy"]
    assert only["accuracy"] == {view: spread["runs"][0] for view, spread in runs.items()}
    assert told["plain"] == results["arms"][0]["test_accuracy"]["plain"]["runs"][0]
    assert told["untrained"] == ["shared_key"]
    assert "not trained yet: shared_key" in called(run).stdout


def test_files_that_were_printed(run: Path) -> None:
    printed = []
    for name in ("results.json", "attacks/attacks.json"):
        printed.append(run.parent / Path(name).name)
        printed[-1].write_text(json.dumps(read_json(run / name)))
    assert called(printed[0], "--attacks", printed[1], "--json").stdout == called(run, "--json").stdout


def test_limits_that_nothing_meets(run: Path) -> None:
    shown = called(run, "--max-ssim", "0.1", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["recommended"]) == (3, None)
    assert "no setting that was trained and attacked is within --max-ssim 0.1" in shown.stderr


def test_what_cannot_be_said(run: Path) -> None:
    for arguments, code, words in (
        ([run.parent / "none"], 2, "none holds no dkjax simulate: neither results.json nor config.json"),
        ([run, "--attacks", run.parent / "none"], 2, "none: there is no dkjax attack: name its --workdir"),
        ([run, "--max-thumbnail", "0.5"], 2, "--max-thumbnail is a second limit: give --max-ssim, too"),
        ([run, "--max-ssim", "0.5", "--max-thumbnail", "0.5"], 2, "no thumbnail was measured"),
        ([run, "--figure", "f.gif"], 2, "--figure f.gif: a figure is NAME.png or NAME.svg"),
        ([run, "--figure", run / "no" / "f.png"], 2, "f.png: there is no folder"),
        ([run, "--view", "fresh"], 2, "'fresh' is not one of"),
    ):
        shown = called(*arguments)
        assert (shown.exit_code, shown.stdout) == (code, ""), arguments
        assert words in " ".join(shown.stderr.replace("│", "").split()) and "Traceback" not in shown.stderr, (
            shown.stderr
        )
    unfinish(run)
    shown = called(run)
    assert shown.exit_code == 2
    assert "no arm has both an accuracy on fresh_key test images and attacks by looking and puzzle" in shown.stderr
    (run / "config.json").write_text("{")
    shown = called(run)
    assert shown.exit_code == 4 and "is damaged" in shown.stderr
