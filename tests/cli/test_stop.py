"""Ctrl-C and SIGTERM: one line and 75, however early they come."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_data_sets import write_small

from dkjax.cli.stop import EXIT_CODE, tidying_up
from dkjax.errors import StoppedError

SIGNALLED = """
import importlib.abc, os, signal, sys

class Signal(importlib.abc.MetaPathFinder):
    # The signal comes while a module is imported.
    def find_spec(self, name, path, target=None):
        if name == MODULE:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), NUMBER)

MODULE, NUMBER = sys.argv.pop(1), int(sys.argv.pop(1))
sys.meta_path.insert(0, Signal())
from dkjax.cli.start import main
main()
"""
LINE = "dkjax: stopped; nothing is lost, and the same command goes on\n"

EARLY = [
    ("typer", "--help"),
    ("dkjax.dkds.verify", "verify a.dkds"),
    ("numpy", "inspect a.dkds"),
    ("jax", "encrypt digits --out b.dkds --set data.image_size=16"),
    ("pydantic", "simulate quickstart"),
    ("jax._src.xla_bridge", "train quickstart --data a.dkds --workdir run"),
    ("flax", "predict run a.dkds"),
]


def test_the_code_is_that_of_a_stop() -> None:
    assert StoppedError.exit_code == EXIT_CODE


def stopped(folder: Path, module: str, command: str, number: int) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "JAX_PLATFORMS": "cpu", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    program = [sys.executable, "-c", SIGNALLED, module, str(int(number)), *command.split()]
    return subprocess.run(program, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    write_small(folder / "a.dkds")
    return folder


@pytest.mark.parametrize(("module", "command"), EARLY)
def test_stopped_while_it_starts(folder: Path, module: str, command: str) -> None:
    number = signal.SIGTERM if module in ("jax", "jax._src.xla_bridge") else signal.SIGINT
    before = sorted(folder.rglob("*"))
    ran = stopped(folder, module, command, number)
    assert (ran.returncode, ran.stdout, ran.stderr) == (75, "", LINE)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["typer", "dkjax.errors", "json"])
@pytest.mark.parametrize(
    "command",
    ["doctor", "plan quickstart", "evaluate run", "export run --to npz", "recipes", "convert a.dkds --to png --out b"],
)
def test_stopped_while_any_command_starts(folder: Path, number: int, module: str, command: str) -> None:
    ran = stopped(folder, module, command, number)
    assert (ran.returncode, ran.stdout, ran.stderr) == (75, "", LINE)


def test_an_ignored_signal_stays_ignored() -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from dkjax.cli.stop import leave_at_once_when_stopped\n"
        "leave_at_once_when_stopped()\nsignal.raise_signal(signal.SIGINT)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_unfinished_is_tidied_up(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), tidying_up():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
