"""`dkjax doctor`: what it prints, and its exit code."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax import doctor
from dkjax.cli.main import app


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_here(tmp_path: Path) -> None:
    result = run("--workdir", str(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert " ".join(line.split()[0] for line in lines[:7]) == "versions devices cluster kernel cache CPU disk"
    assert "4 x cpu (cpu); 1 process" in lines[1]
    assert " ".join(lines[3].split()).startswith("kernel on a CPU, images are encrypted by ")
    assert lines[6].endswith(f"free in {tmp_path}")


def test_json(tmp_path: Path) -> None:
    result = run("--workdir", str(tmp_path), "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["usable"]) == (0, True)
    assert report["facts"]["platform"] == "cpu"
    assert report["facts"]["versions"].keys() >= {"python", "dkjax", "jax", "orbax-checkpoint"}


@pytest.mark.parametrize(
    ("changed", "code", "word"), [({"jax_error": "no"}, 1, "UNUSABLE"), ({"shm_bytes": 9}, 0, "trap")]
)
def test_exit_code(changed: dict[str, Any], code: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = dataclasses.replace(doctor.gather(Path(), {}), **changed)
    monkeypatch.setattr(doctor, "gather", lambda *_: facts)
    result = run()
    assert result.exit_code == code
    problem, fix = [line for line in result.stdout.splitlines() if line.startswith((word, "  fix"))][-2:]
    assert problem.startswith(f"{word}: ") and fix.startswith("  fix: ")
    assert run("--json").exit_code == code
