"""The tables: numbers as people read them, and never cut."""

import pytest
from rich.console import Console

from dkjax.bench import table

TIMES = {"first_call_seconds": 1234.5, "median_seconds": 9.87654, "fastest_seconds": 1.23456}
ROW = {
    **TIMES,
    "name": "jax permutation, 2 gathers",
    "images_per_second": 9_876_543.2,
    "gigabytes_per_second": 1234.567,
    "cpu_microseconds_an_image": 12345.6,
    "share_of_device_copy": 0.987,
    "share_of_host_copy": 12.34,
}
MACHINE = {
    "device": {"platform": "cpu", "kind": "cpu", "count": 1},
    "cpu_cores": 2,
    "versions": {"dkjax": "0.1.0", "jax": "0.10.2"},
}
ENCRYPTION = {
    **MACHINE,
    "kernel": "native",
    "cases": [{"size": 512, "batch": 16, "dtype": "float32", "keys": "shared", "contenders": [ROW]}],
    "growth": {
        "size": 512,
        "dtype": "float32",
        "exponent": 1.017,
        "rows": [{"batch": 16, "images_per_second": 1234.5, **TIMES}],
    },
}
STEP = {
    **MACHINE,
    "variant": "Ti/16",
    "dtype": "float32",
    "size": 224,
    "cases": [
        {
            "batch": 16,
            "rows": [
                {"name": "plain step", "images_per_second": 12.34, "of_peak": 0.512, **TIMES},
                {"name": "encryption alone", "images_per_second": 123.4, "of_peak": None, **TIMES},
            ],
            "share_by_difference": 0.0123,
            "share_alone": 0.0067,
        }
    ],
    "times_timm": 1.234,
}


def test_encryption(capsys: pytest.CaptureFixture) -> None:
    table.print_encryption(ENCRYPTION)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert " ".join(lines[0]) == "cpu (cpu), 2 CPU cores, dkjax 0.1.0, jax 0.10.2"
    assert " ".join(lines[1]) == "On a CPU, chacha20 keys: the native kernel."
    assert " ".join(lines[2]) == "512 px, M=16, float32, one key for all, 16 images"
    numbers = ["9,876,543", "1234.57", "12,346", "99%", "1234%", "9,876.54", "1,234.56", "1234.50"]
    assert ["jax", "permutation,", "2", "gathers", *numbers] in lines
    assert "dkjax, chacha20, 512 px, float32: time grows as batch^1.02" in [" ".join(line) for line in lines]
    assert ["16", "images", "1,234", "617284", "9,876.54", "1,234.56", "1234.50"] in lines


def test_step(capsys: pytest.CaptureFixture) -> None:
    table.print_step(STEP)
    text = capsys.readouterr().out
    assert "ViT-Ti/16, float32, 224 px, 16 images a step" in text
    assert "1.2% of the plain step by the difference of the two steps, 0.7% by itself" in " ".join(text.split())
    assert "The plain step does 1.23 times the images of timm's in a second" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["plain", "step", "12.3", "51%", "9,876.54", "1,234.56", "1234.50"] in lines
    assert ["encryption", "alone", "123.4", "9,876.54", "1,234.56", "1234.50"] in lines


def test_step_without_a_known_peak_and_without_timm(capsys: pytest.CaptureFixture) -> None:
    rows = [{"name": "plain step", "images_per_second": 12.34, "of_peak": None, **TIMES}]
    table.print_step({**STEP, "cases": [{**STEP["cases"][0], "rows": rows}], "times_timm": None})
    text = capsys.readouterr().out
    assert "peak" not in text and "timm" not in text


@pytest.mark.parametrize(("width", "columns"), [(52, 2), (60, 3), (80, 5), (104, 8), (200, 8)])
def test_narrow_terminals_lose_columns_and_no_digits(
    width: int, columns: int, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "results_console", lambda: Console(width=width, highlight=False))
    table.print_encryption(ENCRYPTION)
    text = capsys.readouterr().out
    assert "…" not in text
    row = next(line for line in text.splitlines() if line.startswith(" jax permutation, 2 gathers"))
    assert row.split()[4] == "9,876,543"
    assert len(row.split()) == 4 + columns
