"""The report of a run: its numbers are the run's, it loads nothing, and it says so where there is nothing to report."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import write_attacks, write_simulation

from dkjax.attacks.trials import TRIALS
from dkjax.config import config_hash, load_config
from dkjax.errors import ConfigError, DataError, MissingPackageError
from dkjax.report import write_report
from dkjax.report.scores import wilson
from dkjax.runtime.files import read_json, write_json
from dkjax.runtime.install import how_to_install


class Tables(HTMLParser):
    """The cells of all tables of a page, row by row, and how many pictures there are."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.pictures = 0
        self._inside = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._inside = True
        elif tag == "img":
            self.pictures += 1

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, text: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += text.strip() + " "


def tables(page: Path) -> Tables:
    parser = Tables()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


@pytest.fixture
def run(tmp_path: Path) -> Path:
    results = write_simulation(tmp_path / "run")
    write_attacks(tmp_path / "run" / "attacks", {"config_hash": results["config_hash"]})
    return tmp_path / "run"


def numbers(cell: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", cell.replace(",", ""))]


def assert_alike(cell: str, *wanted: float, digits: int) -> None:
    assert numbers(cell) == pytest.approx(wanted, abs=0.5001 * 10**-digits), cell


def test_every_number_is_that_of_the_run(run: Path) -> None:
    results = read_json(run / "results.json")
    attacks = read_json(run / "attacks" / "attacks.json")
    assert results is not None and attacks is not None
    page = tables(write_report(run))
    headings, *rows = page.tables[0]
    columns = [heading.strip() for heading in headings]
    assert columns[:5] == ["arm", "plain test (%)", "fresh-key test (%)", "same-key test (%)", "SSIM as sent"]
    assert columns[5:] == ["linking: the right one of 1000", "template: SSIM", "puzzle: neighbouring blocks right"]
    for arm, row in zip(results["arms"], rows, strict=True):
        assert row[0].strip() == arm["name"]
        for cell, view in zip(row[1:4], ("plain", "fresh_key", "same_key"), strict=True):
            if view in arm["test_accuracy"]:
                mean = arm["test_accuracy"][view]["mean"]
                assert_alike(cell, *(100 * share for share in (mean, *wilson(mean, 357))), digits=1)
            else:
                assert cell.strip() == "-"
        assert_alike(row[4], arm["ssim"], digits=2)
        tried = attacks["settings"].get(arm["name"], {}).get("attacks")
        for cell, attack, metric in zip(
            row[5:], ("linking", "template", "puzzle"), ("top1_of_1000", "ssim", "neighbours_right"), strict=True
        ):
            if tried is None:
                assert cell.strip() == "-"
            else:
                score = tried[attack]["scores"][metric]
                assert_alike(cell, score["mean"], score["low"], score["high"], digits=2)
    for table, setting in zip(page.tables[1:3], attacks["settings"].values(), strict=True):
        scores = [(name, score) for name, tried in setting["attacks"].items() for score in tried["scores"].values()]
        assert len(scores) == len(table) - 1 == 6
        for row, (name, score) in zip(table[1:], scores, strict=True):
            assert row[0].strip().startswith(name) and ("out of time" in row[0]) == (name == "puzzle")
            assert_alike(row[2], score["mean"], score["low"], score["high"], digits=2)
            assert_alike(row[3] + row[4], score["chance"], score["ceiling"], digits=2)
    for arm, row in zip(results["arms"], page.tables[3][1:], strict=True):
        assert_alike(row[1], arm["upload_bytes"] / 1e6, digits=1)
        assert_alike(row[2], arm["encrypt_seconds"], digits=1)
        assert_alike(row[3], arm["seconds"], digits=0)
    for client, row in zip(results["data"]["clients"], page.tables[6][1:], strict=True):
        assert numbers(" ".join(row[1:])) == [client["images"], *client["images_per_class"]]
    assert page.pictures == 2 * 4 * 4
    told = json.loads((run / "report.json").read_text())
    assert (told["results"], told["attacks"]) == (results, attacks)


def test_the_answer_is_the_results(run: Path) -> None:
    arms = {arm["name"]: arm for arm in json.loads((run / "results.json").read_text())["arms"]}
    write_report(run)
    told = json.loads((run / "report.json").read_text())
    assert told["question"].startswith("What does encryption cost in accuracy, and what does an adversary")
    plain, fresh, alone, known, linked, withstood = told["answer"]
    assert f"{100 * arms['plain']['test_accuracy']['plain']['mean']:.1f} %" in plain
    assert f"{100 * arms['disposable']['test_accuracy']['fresh_key']['mean']:.1f} %" in fresh
    assert "puzzle on disposable, neighbouring blocks right 0.88 (0.83 to 0.93); chance 0.01" in alone
    assert "template on disposable, SSIM 0.54 (0.49 to 0.59); chance 0.01" in known
    assert linked == "The right one of 1000 candidates is found for 99 % of images (linking, disposable)."
    assert withstood == "In every setting some attack got back more than chance."


def test_several_runs_show_their_deviation(tmp_path: Path) -> None:
    results = write_simulation(tmp_path, runs=3)
    cell = tables(write_report(tmp_path)).tables[0][1][1]
    mean, std = (results["arms"][0]["test_accuracy"]["plain"][name] for name in ("mean", "std"))
    assert_alike(cell, *(100 * share for share in (mean, std, *wilson(mean, 357))), digits=1)


def test_the_page_loads_nothing(run: Path) -> None:
    text = write_report(run).read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:image/png|#)""", text.replace("xlink:href", "href"))
    assert "@import" not in text and not re.findall(r"url\((?!#)", text)
    assert "<script" not in text and "&lt;script&gt;" in text


def test_markdown_keeps_names_from_being_markup(run: Path) -> None:
    write_report(run)
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "two\\|2" in text and "<script" not in text.replace("\\<script", "")
    for name in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text):
        assert (run / name).is_file()
    widths = {}
    for line in text.splitlines():
        if line.startswith("| "):
            widths.setdefault(line.replace("\\|", "").count("|"), line)
    assert set(widths) == {3, 6, 9}


def test_the_commands_give_the_run_again(run: Path, tmp_path: Path) -> None:
    write_report(run)
    told = json.loads((run / "report.json").read_text())
    commands, config = told["sections"][-1]["listings"]
    (tmp_path / "run.toml").write_text(config["text"])
    assert config_hash(load_config(tmp_path / "run.toml")) == told["results"]["config_hash"]
    only = " ".join(
        f"--only {name}" for name in TRIALS if name in ("looking", "linking", "template", "thumbnail", "puzzle")
    )
    assert commands["text"].splitlines() == [
        f"dkjax simulate run.toml --workdir {run}",
        f"dkjax attack run.toml --images 4 {only} --workdir {run / 'attacks'}",
        f"dkjax report {run}",
    ]


def test_attacks_alone(tmp_path: Path) -> None:
    write_attacks(tmp_path, {"data_set": "0" * 32}, settings=("a.dkds",))
    page = tables(write_report(tmp_path, out=tmp_path / "elsewhere"))
    assert len(page.tables) == 1 and page.pictures == 16
    told = json.loads((tmp_path / "elsewhere" / "report.json").read_text())
    assert (told["question"], told["results"]) == ("What does an adversary without a key get back?", None)
    assert told["sections"][-1]["listings"][0]["text"].startswith("dkjax attack NAME.dkds --images 4 --only looking")


def test_attacks_of_another_configuration_stand_by_themselves(tmp_path: Path) -> None:
    write_simulation(tmp_path / "run")
    write_attacks(tmp_path / "others", {"config_hash": "0" * 64})
    write_report(tmp_path / "run", tmp_path / "others")
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(told["sections"][0]["tables"][0]["headings"]) == 5
    assert "another configuration" in json.dumps(told["sections"][2]["sentences"])


def test_what_was_printed_with_json(tmp_path: Path) -> None:
    results = write_simulation(tmp_path / "run")
    write_attacks(tmp_path / "printed", {"config_hash": results["config_hash"]})
    printed = read_json(tmp_path / "printed" / "attacks.json")
    (tmp_path / "printed" / "attacks.json").write_text(json.dumps(printed))  # without a checksum
    page = tables(write_report(tmp_path / "run", tmp_path / "printed" / "attacks.json"))
    assert len(page.tables[0][0]) == 8


def edited(path: Path, **changes: Any) -> None:
    write_json(path, {**(read_json(path) or {}), **changes})


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"holds nothing to report: neither results\.json nor attacks\.json"):
        write_report(tmp_path)
    write_simulation(tmp_path, runs=2)
    with pytest.raises(ConfigError, match=r"--attacks .*nowhere: there is nothing of that name"):
        write_report(tmp_path, tmp_path / "nowhere")
    (tmp_path / "results.json").unlink()
    for run in range(2):
        (tmp_path / "arms" / "plain" / f"run-{run}").mkdir(parents=True)
        (tmp_path / "arms" / "plain" / f"run-{run}" / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="2 of 6 runs are finished: give the same dkjax simulate again"):
        write_report(tmp_path)
    edited(tmp_path / "config.json", config={"train": {}})
    with pytest.raises(ConfigError, match="holds a dkjax train that is not finished"):
        write_report(tmp_path)
    write_json(tmp_path / "results.json", {"config": 0, "config_hash": 0, "versions": 0, "device": 0})
    with pytest.raises(ConfigError, match="holds a dkjax train: a report is of a dkjax simulate"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        write_report(tmp_path)
    assert not list(tmp_path.glob("report*"))


def test_damaged_pictures(run: Path) -> None:
    np.savez(run / "attacks" / "pictures" / "disposable" / "puzzle.npz", image=np.zeros((4, 16)))
    with pytest.raises(DataError, match=r"expected image as uint8\[n, H, W, C\], got float64\[4, 16\]"):
        write_report(run)


@pytest.mark.parametrize(("package", "words"), [("jinja2", "Jinja2"), ("matplotlib.figure", "Matplotlib")])
def test_without_a_package(run: Path, package: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=f"a report needs {words}: {re.escape(how_to_install('report'))}"):
        write_report(run)
