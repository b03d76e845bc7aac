"""The suite: within its budget, resumable, and honest about what it left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encrypting import encrypting

from dkjax import schemes
from dkjax.attacks.cases import Case, Sent
from dkjax.attacks.judging import Step
from dkjax.attacks.statistics import Score, estimate
from dkjax.attacks.suite import Progress, run_suite, strongest
from dkjax.attacks.trials import TRIALS
from dkjax.errors import ConfigError
from dkjax.runtime.files import read_json

SCHEME = schemes.disposable(block_size=4)
REQUEST = {"config_hash": "0" * 64, "images": 3}


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    down, right = np.mgrid[:16, :16]
    plain = np.stack([(down * tilt + right * (9 - tilt)).astype(np.uint8)[..., None] for tilt in (3, 5, 7)])
    with encrypting(SCHEME) as send:
        yield Case("everything", SCHEME, send(plain), plain, plain, send)


def test_every_attack_is_judged(case: Case, tmp_path: Path) -> None:
    reports: list[Progress] = []
    results = run_suite([case], tmp_path, REQUEST, report=reports.append)
    setting = results["settings"]["everything"]
    assert setting["skipped"] == {
        "thumbnail": "4 x 4 blocks: a square of at least 7 x 7 is needed",
        "inverter": "it needs public images: dkjax attack --public names some",
    }
    assert list(setting["attacks"]) == [name for name in TRIALS if name not in setting["skipped"]]
    for tried in setting["attacks"].values():
        assert not tried["cut_short"]
        for score in tried["scores"].values():
            assert score["low"] <= score["mean"] <= score["high"] and score["images"] in (2, 3)
    assert setting["attacks"]["linking"]["scores"]["top1_of_3"]["mean"] == 1
    assert setting["attacks"]["linking"]["scores"]["top1_of_3"]["chance"] == pytest.approx(1 / 3)
    assert read_json(tmp_path / "attacks.json") == results
    assert Progress("everything", "puzzle", 3, 3) in reports


def test_what_does_not_apply_is_listed(case: Case, tmp_path: Path) -> None:
    blind = Case("blind", SCHEME, Sent(case.sent.images))
    setting = run_suite([blind], tmp_path, REQUEST)["settings"]["blind"]
    assert list(setting["attacks"]) == ["puzzle"]
    assert list(setting["attacks"]["puzzle"]["scores"]) == ["adjacent_correlation"]
    assert set(setting["skipped"]) == set(TRIALS) - {"puzzle"}
    assert "needs the plain images" in setting["skipped"]["linking"]


def three_steps(case: Case) -> Iterator[Step]:
    for count in (1, 2, 3):
        yield Step([Score("ssim", estimate(np.full(count, count / 10)))])


def test_goes_on_where_it_was_stopped(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(case: Case) -> Iterator[Step]:
        raise KeyboardInterrupt

    monkeypatch.setitem(TRIALS, "puzzle", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_suite([case], tmp_path, REQUEST, attacks=["looking", "puzzle"])
    monkeypatch.setitem(TRIALS, "looking", stopped)
    monkeypatch.setitem(TRIALS, "puzzle", three_steps)
    setting = run_suite([case], tmp_path, REQUEST, attacks=["looking", "puzzle"])["settings"]["everything"]
    assert list(setting["attacks"]) == ["looking", "puzzle"]
    assert strongest({"settings": {"everything": setting}}, "ssim") == ("everything", "puzzle", pytest.approx(0.3))


def test_a_budget_keeps_what_is_done(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow_steps(case: Case) -> Iterator[Step]:
        for step in three_steps(case):
            now[0] += 10
            yield step

    def step_of(setting: dict[str, Any]) -> tuple[bool, int]:
        tried = setting["attacks"]["template"]
        return tried["cut_short"], tried["scores"]["ssim"]["images"]

    monkeypatch.setattr("dkjax.attacks.suite.time.monotonic", lambda: now[0])
    monkeypatch.setitem(TRIALS, "template", slow_steps)
    attacks = ["looking", "template", "puzzle"]
    setting = run_suite([case], tmp_path, REQUEST, attacks=attacks, budget=15)["settings"]["everything"]
    assert step_of(setting) == (True, 2)
    assert setting["skipped"] == {"puzzle": "out of time"}
    setting = run_suite([case], tmp_path, REQUEST, attacks=attacks)["settings"]["everything"]
    assert step_of(setting) == (False, 3) and not setting["skipped"]
    with pytest.raises(ConfigError, match=r"a budget of 0\.001 s ended before the first attack had a score"):
        now[0] = 0
        monkeypatch.setattr("dkjax.attacks.suite.time.monotonic", lambda: now.append(0) or float(len(now)))
        run_suite([case], tmp_path / "other", REQUEST, budget=0.001)


def test_a_budget_ends_learning(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, reports = [0.0], []

    def learning(case: Case) -> Iterator[Step]:
        for done in (1, 2, 3):
            now[0] += 10
            yield Step([Score("ssim", estimate(np.full(3, 0.5)))] if done > 1 else [], learned=(done, 3))

    monkeypatch.setattr("dkjax.attacks.suite.time.monotonic", lambda: now[0])
    monkeypatch.setitem(TRIALS, "inverter", learning)

    def within(budget: float | None) -> dict[str, Any]:
        now[0] = 0
        attacks = ["looking", "inverter"]
        results = run_suite([case], tmp_path, REQUEST, attacks=attacks, budget=budget, report=reports.append)
        return results["settings"]["everything"]

    assert within(5)["skipped"] == {"inverter": "out of time"}
    assert within(15)["attacks"]["inverter"]["cut_short"]
    assert not within(None)["attacks"]["inverter"]["cut_short"]
    assert reports[-1] == Progress("everything", "inverter", 3, 3, "steps")


def test_another_request_needs_another_folder(case: Case, tmp_path: Path) -> None:
    run_suite([case], tmp_path, REQUEST, attacks=["looking"])
    with pytest.raises(ConfigError, match="holds the results of another request"):
        run_suite([case], tmp_path, {**REQUEST, "images": 4}, attacks=["looking"])


def test_nothing_applies(case: Case, tmp_path: Path) -> None:
    blind = Case("blind", SCHEME, Sent(case.sent.images))
    with pytest.raises(ConfigError, match="no attack applies: linking: it needs the plain images"):
        run_suite([blind], tmp_path, REQUEST, attacks=["linking"])
