"""docs/protection.md, docs/frontier.md and the README say what stored runs of attacks measured, number by number."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "measured"
NUMBER = r"(-?\d?\.\d+)"
MARKED = re.compile(rf"<!-- (\S+) (\S+) (\S+)( chance)? -->\**{NUMBER}\**(?: \({NUMBER} to {NUMBER}\))?")


def as_text(value: float) -> str:
    """Two decimals without a leading zero; three where two would be none."""
    return (
        f"{value:.{3 if 0 < abs(value) < 0.01 else 2}f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"
    )


def wrong_numbers(text: str, settings: dict) -> list[str]:
    """The numbers of a page that are not the run's."""
    wrong = []
    for setting, attack, metric, chance, *said in MARKED.findall(text):
        score = settings[setting]["attacks"][attack]["scores"][metric]
        names = ("chance",) if chance else ("mean", "low", "high")
        measured = [as_text(score[name]) for name in names]
        if [number for number in said if number] not in (measured, measured[:1]):
            wrong.append(f"{setting} {attack} {metric}: the page says {said}, the run {measured}")
    return wrong


@pytest.mark.parametrize(
    ("page", "runs", "least"),
    [
        ("docs/protection.md", ["protection.json"], 76),
        ("README.md", ["protection.json"], 7),
        ("docs/frontier.md", ["frontier.json"], 124),
        ("docs/schemes.md", ["protection.json", "frontier.json"], 22),
    ],
)
def test_every_number_is_that_of_the_run(page: str, runs: list[str], least: int) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    settings = {}
    for run in runs:
        settings |= json.loads((MEASURED / run).read_text())["settings"]
    assert wrong_numbers(text, settings) == []
    assert text.count("<!-- ") == len(MARKED.findall(text)) >= least


def test_a_wrong_number_would_be_found() -> None:
    score = {"mean": 0.934, "low": 0.87, "high": 1.0, "chance": 0.0049}
    settings = {"a": {"attacks": {"puzzle": {"scores": {"ssim": score}}}}}
    right = "<!-- a puzzle ssim -->**.93** (.87 to 1.00), <!-- a puzzle ssim -->.93, <!-- a puzzle ssim chance -->.005"
    assert len(MARKED.findall(right)) == 3 and wrong_numbers(right, settings) == []
    for said, put in ((".93**", ".94**"), (".87", ".88"), (".005", ".05")):
        assert len(wrong_numbers(right.replace(said, put), settings)) == 1
