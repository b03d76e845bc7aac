"""The wheel, installed away from the clone: the recipes are in it, and the quickstart runs in an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which dkjax is the wheel's, and its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, timeout=600)
    return {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}


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
