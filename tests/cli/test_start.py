"""How the command starts: again with huge pages where they make a difference, and as it is everywhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dkjax
from dkjax.cli.start import trains_on_cpu
from dkjax.runtime import huge_pages
from dkjax.runtime.huge_pages import start_again_with_huge_pages

ON_DEMAND, ALWAYS, NEVER = "always [madvise] never\n", "[always] madvise never\n", "always madvise [never]\n"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list:
    calls: list = []
    monkeypatch.setattr(os, "execve", lambda *args: calls.append(args))
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    return calls


def kernel(folder: Path, says: str) -> Path:
    (folder / "enabled").write_text(says)
    return folder / "enabled"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=3", "glibc.malloc.check=3:glibc.malloc.hugetlb=1"),
    ],
)
def test_starts_again_as_it_was_called(before: str | None, after: str, tmp_path: Path, started: list) -> None:
    environ = {"HOME": "/somewhere"} | ({} if before is None else {"GLIBC_TUNABLES": before})
    start_again_with_huge_pages(environ, kernel(tmp_path, ON_DEMAND))
    [(program, arguments, given)] = started
    assert (program, arguments) == (sys.executable, [sys.executable, *sys.orig_argv[1:]])
    assert given == {"HOME": "/somewhere", "GLIBC_TUNABLES": after}


@pytest.mark.parametrize("chosen", ["glibc.malloc.hugetlb=1", "glibc.malloc.check=3:glibc.malloc.hugetlb=0"])
def test_a_choice_is_kept(chosen: str, tmp_path: Path, started: list) -> None:
    start_again_with_huge_pages({"GLIBC_TUNABLES": chosen}, kernel(tmp_path, ON_DEMAND))
    assert not started


@pytest.mark.parametrize("says", [ALWAYS, NEVER, ""])
def test_where_the_kernel_does_not_wait_to_be_asked(says: str, tmp_path: Path, started: list) -> None:
    start_again_with_huge_pages({}, kernel(tmp_path, says))
    start_again_with_huge_pages({}, tmp_path / "missing")
    assert not started


@pytest.mark.parametrize("library", ["glibc 2.34", "musl 1.2", None, ValueError(), OSError()])
def test_with_another_c_library(
    library: str | Exception | None, tmp_path: Path, started: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confstr(_: str) -> str | None:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(os, "confstr", confstr)
    start_again_with_huge_pages({}, kernel(tmp_path, ON_DEMAND))
    assert not started


def test_goes_on_where_it_cannot_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "execve", execve)
    start_again_with_huge_pages({}, kernel(tmp_path, ON_DEMAND))


@pytest.mark.parametrize(
    ("command", "platforms", "expected"),
    [
        ("simulate quickstart", "cpu", True),
        ("--debug train run.toml --data a.dkds", "cpu", True),
        ("bench step --quick", "cpu", True),
        ("bench encrypt", "cpu", False),
        ("bench", "cpu", False),
        ("encrypt simulate --out a.dkds", "cpu", False),
        ("predict run train", "cpu", False),
        ("verify a.dkds", "cpu", False),
        ("--version", "cpu", False),
        ("train --help", "cpu", False),
        ("simulate -h", "cpu", False),
        ("", "cpu", False),
        ("train run.toml", "cuda,cpu", False),
        ("train run.toml", "tpu", False),
    ],
)
def test_what_trains_on_cpu(command: str, platforms: str, expected: bool) -> None:
    assert trains_on_cpu(command.split(), platforms) == expected


@pytest.mark.parametrize("accelerator", [None, "/dev/nvidia0", "/dev/accel0"])
def test_an_accelerator_that_is_there(accelerator: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: path == accelerator)
    assert trains_on_cpu(["train"], "") == (accelerator is None)
    assert trains_on_cpu(["train"], "cpu")


@pytest.mark.parametrize(("command", "starts"), [("simulate absent.toml", 2), ("--version", 1), ("recipes", 1)])
def test_the_command_starts_once_more_and_no_more(command: str, starts: int) -> None:
    program = "import os; print('process', os.getpid()); from dkjax.cli.start import main; main()"
    environ = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    ran = subprocess.run(
        [sys.executable, "-u", "-c", program, *command.split()],
        env={**environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    processes = [line for line in ran.stdout.splitlines() if line.startswith("process ")]
    again = huge_pages._glibc_can() and huge_pages._on_demand(huge_pages._KERNEL)
    assert len(processes) == (starts if again else 1)
    assert len(set(processes)) == 1
    assert "Traceback" not in ran.stderr


def test_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "dkjax", "--version"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"dkjax {dkjax.__version__}\n", "")


def test_nothing_is_imported_before() -> None:
    program = "import sys, dkjax.cli.start; sys.exit(', '.join({'typer', 'numpy', 'jax'} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
