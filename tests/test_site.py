"""The documentation as one site: it is built without a warning, and every public name is on it."""

import ast
import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import dkjax
from dkjax.cli.main import app

ROOT = Path(__file__).parent.parent
FACES = ("schemes", "keys", "client", "server", "models", "experiment")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


class Anchors(HTMLParser):
    """The ids of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids |= {value for name, value in attrs if name == "id" and value}


def public_names(module: ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    ]


def face(name: str) -> ModuleType:
    return dkjax.schemes if name == "schemes" else importlib.import_module(f"dkjax.{name}")


def test_every_name_of_the_package_is_on_its_page(site: Path) -> None:
    names = public_names(dkjax)
    assert {"encrypt", "decrypt", "encrypt_batch", "key_space_bits"} <= set(names)
    assert {f"dkjax.{name}" for name in names} <= Anchors(site / "reference" / "dkjax.html").ids


def test_every_module_of_the_package_has_a_page(site: Path) -> None:
    modules = {name for name in dkjax.__all__ if isinstance(getattr(dkjax, name), ModuleType)}
    assert {"keys", "schemes"} <= modules
    for name in modules | set(FACES) | {"torch"}:
        assert (site / "reference" / f"dkjax.{name}.html").is_file(), name


@pytest.mark.parametrize("name", FACES)
def test_every_name_of_a_face_is_on_its_page(site: Path, name: str) -> None:
    expected = {f"dkjax.{name}.{member}" for member in public_names(face(name))}
    assert expected <= Anchors(site / "reference" / f"dkjax.{name}.html").ids
    if name in ("schemes", "keys"):
        assert len(expected) >= 7


def test_names_for_pytorch_are_on_the_site_without_pytorch(site: Path) -> None:
    tree = ast.parse((ROOT / "dkjax" / "torch.py").read_text())
    (names,) = (ast.literal_eval(node.value) for node in tree.body if "__all__" in ast.unparse(node).split(" = ")[0])
    assert {f"dkjax.torch.{name}" for name in names} <= Anchors(site / "reference" / "dkjax.torch.html").ids


def test_every_command_is_on_the_site(site: Path) -> None:
    page = (site / "reference" / "command_line.html").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert {"simulate", "encrypt", "train"} <= set(names)
    for name in [*names, "bench encrypt"]:
        assert re.search(rf"<h[23] [^>]*><code>dkjax {name}</code>", page), name


def test_doctests_are_code(site: Path) -> None:
    page = (site / "reference" / "dkjax.html").read_text()
    assert '<span class="gp">&gt;&gt;&gt; </span>' in page
    for reference in (site / "reference").glob("*.html"):
        assert "<blockquote>" not in reference.read_text(), reference.name


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]*)", page.read_text())
        assert loaded == [], page.name


def test_recipes_come_along_and_programs_do_not(site: Path) -> None:
    assert (site / "configs" / "quickstart.toml").read_bytes() == (ROOT / "configs" / "quickstart.toml").read_bytes()
    assert (site / "images" / "fashion_seen.png").is_file()
    assert not list(site.rglob("*.py"))
