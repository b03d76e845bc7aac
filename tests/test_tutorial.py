"""The tutorial: every command and every line of Python of it, in an empty folder, in the order of the page."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the page: what `dkjax` and `python` are is this environment."""
    folder = tmp_path_factory.mktemp("tutorial")
    programs = tmp_path_factory.mktemp("bin")
    (programs / "dkjax").write_text(f"#!{sys.executable}\nfrom dkjax.cli.main import main\n\nmain()\n")
    (programs / "dkjax").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path}
    commands = "\n".join(code for language, code in BLOCKS if language == "bash")
    lines = "\n".join(code for language, code in BLOCKS if language == "python")
    for name, program in {"bash": ["bash", "-euo", "pipefail", "-c", commands], "py": ["python", "-c", lines]}.items():
        ran = subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
        (folder / f"{name}.txt").write_text(ran.stdout)
    return folder


EXPECTED = {f"{number}.png": f"digit {load_digits().target[number]}" for number in range(1760, 1797)}


def test_new_images_get_their_classes(folder: Path) -> None:
    with (folder / "classes.csv").open() as file:
        named = {Path(row["image"]).name: row["class"] for row in csv.DictReader(file)}
    assert set(named) == set(EXPECTED)
    assert sum(named[name] == EXPECTED[name] for name in EXPECTED) >= 20  # of 37, a tenth by guessing


def test_python_finds_them_too(folder: Path) -> None:
    said = (folder / "py.txt").read_text()
    named = {Path(path).name: name for path, name in re.findall(r"^(new/\S+) (.*)$", said, re.MULTILINE)}
    assert set(named) == set(EXPECTED)
    assert sum(named[name] == EXPECTED[name] for name in EXPECTED) >= 20  # of 37, a tenth by guessing
    accuracy = dict(re.findall(r"'(plain|fresh_key)': ([\d.]+)", said))
    assert min(float(accuracy["plain"]), float(accuracy["fresh_key"])) > 0.7


def test_both_leave_a_model(folder: Path) -> None:
    for name in ("tutorial.safetensors", "python.safetensors"):
        assert (folder / name).stat().st_size > 100_000
    assert {path.name for path in folder.glob("*.png")} == {"north.png", "south.png"}
    assert np.sum([len(list((folder / site).rglob("*.png"))) for site in ("north", "south", "test", "new")]) == 1797


def test_the_page_has_both_ways() -> None:
    assert [language for language, _ in BLOCKS].count("python") == 4
    assert sum(code.count("dkjax ") for language, code in BLOCKS if language == "bash") >= 5
