"""The command itself: help, version, and how soon they are there."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import dkjax
from dkjax.cli.main import app

COMMAND = [sys.executable, "-c", "from dkjax.cli.main import main; main()"]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    result = CliRunner().invoke(app, [option])
    assert (result.exit_code, result.stderr) == (0, "")
    commands = ("simulate", "encrypt", "inspect", "verify", "convert", "train", "evaluate", "export", "plan")
    for word in (*commands, "doctor", "bench", "--version"):
        assert word in result.stdout


def test_help_of_simulate() -> None:
    result = CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("CONFIG", "--set", "--workdir", "--json", "--help"):
        assert word in result.stdout


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"dkjax {dkjax.__version__}\n", "")


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
