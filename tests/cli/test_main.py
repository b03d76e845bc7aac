"""The command itself: help, version, and how soon they are there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import dkjax
from dkjax.cli.main import app

COMMAND = [sys.executable, "-c", "from dkjax.cli.main import main; main()"]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    result = CliRunner().invoke(app, [option])
    assert (result.exit_code, result.stderr) == (0, "")
    commands = ("simulate", "encrypt", "inspect", "verify", "convert", "train", "evaluate", "predict", "export", "plan")
    for word in (*commands, "recipes", "doctor", "bench", "--version"):
        assert word in result.stdout


def test_help_of_simulate() -> None:
    result = CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("CONFIG", "--set", "--workdir", "--json", "--help"):
        assert word in result.stdout


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"dkjax {dkjax.__version__}\n", "")


def test_help_loses_nothing_to_markup() -> None:
    """Typer takes what stands in brackets, such as the extra of a package, for markup, and leaves it out."""

    def texts(command: Any) -> Iterator[str]:
        yield command.help or ""
        yield from (getattr(parameter, "help", "") or "" for parameter in command.params)
        for below in getattr(command, "commands", {}).values():
            yield from texts(below)

    found = list(texts(get_command(app)))
    assert len(found) > 60
    assert [text for text in found if re.search(r"\[[a-z]", text)] == []


def test_without_a_command_help_is_shown() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "simulate" in result.output


@pytest.mark.parametrize(
    "program",
    [
        "import dkjax; dir(dkjax)",
        "from dkjax.cli.main import app; app(['--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['simulate', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['doctor', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['encrypt', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['evaluate', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['export', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['inspect', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['verify', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['plan', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['train', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['bench', 'encrypt', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['convert', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['predict', '--help'], standalone_mode=False)",
        "from dkjax.cli.main import app; app(['recipes', '--help'], standalone_mode=False)",
    ],
)
def test_jax_is_not_imported(program: str) -> None:
    heavy = {"jax", "flax", "numpy", "matplotlib", "tensorflow_datasets", "torch"}
    check = f"{program}\nimport sys\nsys.exit(', '.join({heavy} & sys.modules.keys()) or 0)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_help_is_there_at_once() -> None:
    """The aim is 0.4 s on an idle machine. Counted are the CPU's seconds, for others may use it as well."""
    seconds = []
    for _ in range(3):
        before = os.times()
        run = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=300)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
        assert (run.returncode, run.stderr) == (0, "")
    print(f"dkjax --help: {min(seconds):.2f} s")
    assert min(seconds) <= 2
