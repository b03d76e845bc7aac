"""The wheel, installed away from the clone: its recipes, its native kernel or none, and the quickstart."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def build(folder: Path, **environment: str) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=600, env={**os.environ, **environment})
    (path,) = folder.glob("*.whl")
    return path


def install(wheel: Path, folder: Path) -> dict[str, str]:
    """Make an environment in which dkjax is the wheel's, and its dependencies are those of the tests."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, timeout=600)
    return {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install(wheel, tmp_path_factory.mktemp("installed"))


def run(installed: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dkjax", *arguments]
    return subprocess.run(command, cwd=folder, env=installed, capture_output=True, text=True, timeout=900)


def test_recipes_are_in_it_once(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = [name for name in names if name.endswith(".toml")]
    assert sorted(inside) == sorted(f"dkjax/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml"))
    assert len(names) == len(set(names))


def test_it_is_the_wheel_that_runs(installed: dict[str, str], tmp_path: Path) -> None:
    program = "import dkjax; print(dkjax.__file__)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=installed, capture_output=True, text=True)
    assert ran.stdout.strip() == str(Path(installed["PYTHONPATH"]) / "dkjax" / "__init__.py")


def kernel_of(installed: dict[str, str], folder: Path) -> str:
    """What the doctor says, and the vectors of the tests, with the kernels that this installation has."""
    vectors = ["-p", "no:cacheprovider", "-q", "-n", "0", str(ROOT / "tests/test_vectors.py"), "-k", "schemes"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *vectors], cwd=folder, env=installed, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    report = json.loads(run(installed, folder, "doctor", "--json").stdout)
    runs, reason = report["facts"]["native_kernel"]
    assert runs == ("skipped" not in ran.stdout)
    return reason


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler")
def test_with_a_compiler(wheel: Path, installed: dict[str, str], tmp_path: Path) -> None:
    assert not wheel.name.endswith("-any.whl")
    assert "dkjax/cipher/native/libdkjax.so" in zipfile.ZipFile(wheel).namelist()
    assert kernel_of(installed, tmp_path) == "libdkjax.so of this installation"


@pytest.mark.parametrize("setting", [{"CXX": "false"}, {"CXX": "there-is-none"}, {"DKJAX_NATIVE": "0"}], ids=str)
def test_without_a_compiler(setting: dict[str, str], tmp_path: Path) -> None:
    wheel = build(tmp_path / "wheel", **setting)
    assert wheel.name.endswith("-py3-none-any.whl")
    if "DKJAX_NATIVE" not in setting:
        return
    installed = install(wheel, tmp_path / "installed")
    reason = "not built: there was no C++ compiler when dkjax was installed"
    assert kernel_of(installed, tmp_path) == reason


def test_recipes_are_listed(installed: dict[str, str], tmp_path: Path) -> None:
    ran = run(installed, tmp_path, "recipes", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    names = [one["name"] for one in json.loads(ran.stdout)["recipes"]]
    assert names == sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))


def test_the_quickstart_in_an_empty_folder(installed: dict[str, str], tmp_path: Path) -> None:
    ran = run(installed, tmp_path, "simulate", "quickstart")
    assert ran.returncode == 0, ran.stderr
    assert "1,438 training images of 4 clients" in ran.stdout
    results = json.loads((tmp_path / "runs" / "quickstart" / "results.json").read_text())
    plain = results["arms"][0]
    assert plain["name"] == "plain" and plain["test_accuracy"]["plain"]["mean"] > 0.9
