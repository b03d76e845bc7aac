"""`dkjax bench`: tables and JSON on stdout, talk on stderr, errors in a line."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.main import app

ENCRYPT = ["bench", "encrypt", "--quick", "--size", "32", "--batch", "2", "--repeats", "1"]
STEP = ["bench", "step", "--variant", "mu", "--size", "32", "--batch", "2", "--repeats", "1"]


@pytest.fixture(scope="module")
def ran() -> Iterator[dict[str, Any]]:
    """Each command with --json, and without on the same measurement."""
    handler = signal.getsignal(signal.SIGTERM)
    results = {}
    for name, arguments in (("encrypt", ENCRYPT), ("step", STEP)):
        results[name, True] = CliRunner().invoke(app, [*arguments, "--json"])
        with pytest.MonkeyPatch.context() as patch:
            measured = json.loads(results[name, True].stdout)
            for measure in ("encryption", "step"):
                patch.setattr(f"dkjax.bench.measure_{measure}", lambda *args, measured=measured, **settings: measured)
            results[name, False] = CliRunner().invoke(app, arguments)
    yield results
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("name", ["encrypt", "step"])
def test_json_is_one_object(ran: dict, name: str) -> None:
    result = ran[name, True]
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["bench"] == name


@pytest.mark.parametrize("name", ["encrypt", "step"])
def test_tables_fit_a_hundred_columns(ran: dict, name: str) -> None:
    result = ran[name, False]
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in result.stdout


def test_encryption_is_compared(ran: dict) -> None:
    text = ran["encrypt", False].stdout
    for word in ("32 px, M=4, uint8, a key for each image, 2 images", "numpy loop", "copy, host", "images/s", "GB/s"):
        assert word in text
    assert "time grows as batch^" in text
    row = next(line for line in text.splitlines() if line.startswith(" copy, device"))
    assert row.split()[5] == "100%"


def test_step_is_compared(ran: dict) -> None:
    text = ran["step", False].stdout
    for word in ("ViT-mu/16, float32, 32 px, 2 images a step", "step with encryption", "of the plain step"):
        assert word in text


def test_talk_goes_to_stderr(ran: dict) -> None:
    assert ran["encrypt", True].stderr.splitlines() == [
        "measuring 32 px, M=4, uint8, a key for each image, 2 images",
        "measuring 32 px, batches of 1, 2",
    ]
    assert ran["step", True].stderr == "measuring ViT-mu/16, 32 px, 2 images a step\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["encrypt", "--size", "64"], "dkjax: --size 64 is not one of 32, 224, 512"),
        (["step", "--variant", "Tii"], "did you mean 'Ti'?"),
        (["encrypt", "--batch", "0"], "--batch"),
        (["nothing"], "nothing"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], text: str, ran: dict) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["bench"], ["bench", "encrypt"], ["bench", "step"]])
def test_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "-h"], env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("encrypt", "step") if len(arguments) == 1 else ("--json", "--repeats", "--batch"):
        assert word in result.stdout
