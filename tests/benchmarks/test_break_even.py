"""The table of docs/results.md is what the calculator says today."""

import json
from pathlib import Path

import break_even
import pytest
import script
from typer.testing import CliRunner

from dkjax.federated import cost

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8").splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_bytes_and_rounds_are_those_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler's count of operations takes seconds for large networks: the slow test has it.
    monkeypatch.setattr(cost, "flops_per_image", lambda model, shape: 1e9)
    first, second, *rows = break_even.as_markdown(break_even.measure_break_even())
    assert first in PAGE and PAGE[PAGE.index(first) + 1] == second
    there = PAGE[PAGE.index(first) + 2 :][: len(rows)]
    assert [cells(line)[:-1] for line in there] == [cells(line)[:-1] for line in rows]
    assert [cells(line)[-1] for line in rows] == ["1"] * len(rows)
    assert not PAGE[PAGE.index(first) + 2 + len(rows)]


def test_rounds_grow_with_the_images_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(break_even, "ROWS", dict([next(iter(break_even.ROWS.items()))]))
    one, ten = (
        json.loads(CliRunner().invoke(script.app(break_even.main), ["--json", "--images", images]).stdout)["rows"][0]
        for images in ("1000", "10000")
    )
    assert ten["break_even"] == {way: pytest.approx(10 * rounds) for way, rounds in one["break_even"].items()}
    assert one["break_even"]["fedavg float32"] == pytest.approx(one["upload_bytes"] / 2 / one["update_bytes"])
    (flops,) = {cells(line)[-1] for line in PAGE if line.startswith("| ViT of `configs/federated.toml` |")}
    assert f"{one['flops'] / 1e9:.3g}" == flops


@pytest.mark.slow
def test_the_whole_table() -> None:
    printed = CliRunner().invoke(script.app(break_even.main), []).stdout.splitlines()
    start = PAGE.index(printed[0])
    assert PAGE[start : start + len(printed)] == printed
