"""How to install what is missing: from the clone, or package by package; never from an index that lacks dkjax."""

import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

from dkjax.runtime.install import how_to_install

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_every_extra_is_known(tmp_path, monkeypatch):
    assert how_to_install() == f"pip install -e {shlex.quote(str(ROOT))}"
    assert how_to_install("report") == f"pip install -e '{ROOT}[report]'"
    requires = [f'{one}; extra == "{extra}"' for extra, packages in EXTRAS.items() for one in packages]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["jax>=0.10", *requires])
    assert how_to_install("onnx", tmp_path) == "pip install 'onnx>=1.19,<2'"
    assert how_to_install("demo", tmp_path).startswith(f"pip install '{EXTRAS['report'][0]}'")
    for extra in EXTRAS:
        command = how_to_install(extra, tmp_path)
        assert "dkjax" not in command
        assert command != "pip install"
    assert how_to_install(None, tmp_path) == "pip install the wheel of dkjax"


def test_nothing_asks_an_index_for_dkjax():
    files = [*(ROOT / "dkjax").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    asking = [str(file) for file in files if re.search(r"pip install (-U )?[\"']?dkjax\b", file.read_text("utf-8"))]
    assert asking == []
    # What a message names as an extra exists.
    named = {
        name
        for file in files
        for name in re.findall(r"how_to_install\(['\"](\w+)|pip install -e \"\.\[(\w+)", file.read_text("utf-8"))
    }
    assert {left or right for left, right in named} <= EXTRAS.keys()
