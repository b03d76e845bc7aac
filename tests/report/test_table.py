"""The table of a simulation."""

import copy
from typing import Any

import pytest

from dkjax.report.table import as_markdown, print_table, rows


def arm(name: str, keys: str, accuracy: dict[str, list[float]], **changes: Any) -> dict[str, Any]:
    spreads = {
        view: {"mean": sum(runs) / len(runs), "std": 0.0125 if len(runs) > 1 else 0.0, "runs": runs}
        for view, runs in accuracy.items()
    }
    encrypted = {"scheme": "disposable", "fixed_blocks": 3, "fixed_pixels": 48}
    plain = {"scheme": None, "fixed_blocks": None, "fixed_pixels": None}
    return {
        "name": name,
        **(plain if keys == "none" else encrypted),
        "keys": keys,
        "test_accuracy": spreads,
        "ssim": 0.0349,
        "upload_bytes": 1_849_000,
        "seconds": 7.6,
        **changes,
    }


def results(runs: int = 1) -> dict[str, Any]:
    return {
        "arms": [
            arm("plain", "none", {"plain": [0.955] * runs}, ssim=1.0),
            arm("disposable", "per_image", {"plain": [0.5] * runs, "fresh_key": [0.4] * runs}),
            arm("client_key", "per_client", {view: [0.25] * runs for view in ("plain", "fresh_key", "same_key")}),
            arm("shared_key", "shared", {view: [1.0] * runs for view in ("plain", "fresh_key", "same_key")}, ssim=None),
        ],
        "data": {"image_shape": [16, 24, 1], "train_images": 1437, "test_images": 360, "clients": [{}] * 4},
        "config": {"scheme": {"block_size": 8}, "train": {"runs": runs}},
    }


@pytest.mark.parametrize(("runs", "spread"), [(1, ""), (3, "±1.2")])
def test_rows(runs: int, spread: str) -> None:
    before = results(runs)
    given = copy.deepcopy(before)
    headings, *body = rows(given)
    assert given == before
    assert headings[0] == "arm"
    assert all(len(row) == len(headings) for row in body)
    assert body == [
        ("plain", "-", "-", "-", f"95.5{spread}", "-", "-", "1.00", "1.8", "8"),
        ("disposable", "3/6", "48/64", "image", f"50.0{spread}", f"40.0{spread}", "-", "0.03", "1.8", "8"),
        ("client_key", "3/6", "48/64", "client", *[f"25.0{spread}"] * 3, "0.03", "1.8", "8"),
        ("shared_key", "3/6", "48/64", "(one)", *[f"100.0{spread}"] * 3, "-", "1.8", "8"),
    ]


def test_a_scheme_without_restriction_has_no_fixed_positions() -> None:
    of_le = results()
    of_le["arms"][1] |= {"scheme": "le", "fixed_blocks": None, "fixed_pixels": None}
    assert rows(of_le)[2][:4] == ("disposable", "-", "-", "image")


def test_markdown() -> None:
    lines = as_markdown(results()).splitlines()
    assert len(lines) == 2 + 4
    assert {line.count("|") for line in lines} == {11}
    assert lines[1] == "| --- |" + " ---: |" * 9
    assert lines[3] == "| disposable | 3/6 | 48/64 | image | 50.0 | 40.0 | - | 0.03 | 1.8 | 8 |"
    assert as_markdown(results()).endswith("|\n")


@pytest.mark.parametrize("name", ["disposable", "disposable-" + "x" * 53])
def test_printed_table_is_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a pipe every value is there, even beside the longest name that a configuration allows."""
    several = results(3)
    several["arms"][1]["name"] = name
    print_table(several)
    out, err = capsys.readouterr()
    assert err == ""
    assert "1,437 training images of 4 clients, 360 test images, 3 runs of each arm" in out
    # A fixed width makes Rich cut headings and numbers short; what goes into a pipe should be as wide as the table.
    assert "…" not in out
    line = next(line for line in out.splitlines() if line.split()[:1] == [name])
    assert line.split() == [name, "3/6", "48/64", "image", "50.0±1.2", "40.0±1.2", "-", "0.03", "1.8", "8"]
