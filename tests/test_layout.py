"""The house: imports run one way, some packages stay behind one door, and every public name is explained."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dkjax"
ROOMS = (
    "errors",
    "seeds",
    "runtime",
    "reference",
    "prng",
    "derivation",
    "keys",
    "cipher",
    "config",
    "torch",
    "formats",
    "sources",
    "input",
    "dkds",
    "client",
    "models",
    "train",
    "server",
    "federated",
    "attacks",
    "transport",
    "experiment",
    "report",
    "bench",
    "doctor",
    "cli",
    "__main__",
)
"""From the top down: a room imports only rooms above it, and itself."""

FILES = sorted(PACKAGE.rglob("*.py"))
INSIDE = [path for path in FILES if path != PACKAGE / "__init__.py"]
every_file = pytest.mark.parametrize("path", INSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Every module that is imported anywhere, dotted; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(source: str, home: str) -> list[str]:
    """Imports of rooms that do not lie above `home`."""
    names = [name.split(".") for name in imported(source)]
    rooms = [parts[1] for parts in names if parts[0] == "dkjax" and len(parts) > 1 and parts[1] != "__version__"]
    return [name for name in rooms if ROOMS.index(name) > ROOMS.index(home)]


def test_every_room_has_its_place() -> None:
    assert {room(path) for path in INSIDE} <= set(ROOMS)


@every_file
def test_imports_run_one_way(path: Path) -> None:
    assert wrong_imports(path.read_text(encoding="utf-8"), room(path)) == []


def test_a_wrong_import_would_be_found() -> None:
    assert wrong_imports("def f():\n    from dkjax.train import loop", "client") == ["train"]
    assert wrong_imports("from dkjax import cli, keys\nimport dkjax.errors", "models") == ["cli"]


def test_the_reference_stands_alone() -> None:
    for path in INSIDE:
        names = [name.split(".") for name in imported(path.read_text(encoding="utf-8"))]
        if room(path) == "reference":
            outside = {parts[0] for parts in names} - sys.stdlib_module_names
            assert outside <= {"dkjax", "numpy"}, path
            assert {parts[1] for parts in names if parts[0] == "dkjax"} <= {"errors", "reference"}, path
        else:
            assert ["dkjax", "reference"] not in [parts[:2] for parts in names], path


@pytest.mark.parametrize(("package", "door"), [("flax", "models/vit.py"), ("jax.extend", "prng.py")])
def test_one_door(package: str, door: str) -> None:
    assert importing(package) == {door}


def importing(package: str) -> set[str]:
    """The files that import a package or something of it."""
    return {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for name in imported(path.read_text(encoding="utf-8"))
        if f"{name}.".startswith(f"{package}.")
    }


def test_nothing_of_jax_that_is_private() -> None:
    assert importing("jax._src") == set()
    # One file asks it if it is there, and does without it otherwise.
    naming = {str(path.relative_to(PACKAGE)) for path in FILES if "jax._src" in path.read_text(encoding="utf-8")}
    assert naming == {"runtime/forks.py"}


def undocumented(source: str) -> list[str]:
    """Public modules, classes and functions, methods included, that have no docstring."""

    def visit(node: ast.AST, where: str) -> Iterator[str]:
        overloaded = any(
            isinstance(one, ast.Name) and one.id == "overload" for one in getattr(node, "decorator_list", ())
        )
        if not ast.get_docstring(node) and not overloaded:
            yield where or "module"
        for child in ast.iter_child_nodes(node):
            definition = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if not definition or not isinstance(node, ast.Module | ast.ClassDef) or child.name.startswith("_"):
                continue
            # The types of a function that is explained where it is defined.
            if "overload" not in map(ast.unparse, child.decorator_list):
                yield from visit(child, f"{where}.{child.name}".removeprefix("."))

    return list(visit(ast.parse(source), ""))


@pytest.mark.parametrize(
    "path", [*INSIDE, *sorted(ROOT.glob("benchmarks/*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_public_names_are_explained(path: Path) -> None:
    assert undocumented(path.read_text(encoding="utf-8")) == []


def test_a_missing_docstring_would_be_found() -> None:
    assert undocumented('"""A."""\n@overload\ndef f(): ...\n') == []
    assert undocumented('"""A."""\nclass A:\n    """B."""\n    def b(self): ...\n    def _c(self): ...') == ["A.b"]


NAMED_TEST = re.compile(r"`(?:tests/[\w/]*)?(test_\w+\.py)(?:::(test_\w+))?`")


def test_every_test_that_is_named_exists() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    texts = [*FILES, *(ROOT / "benchmarks").glob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {pair for path in texts for pair in NAMED_TEST.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 100
    assert not [f"{file}::{test}" for file, test in sorted(named) if f"def {test}" not in written.get(file, "")]


def test_no_file_is_empty() -> None:
    folders = ("dkjax", "benchmarks", "tests", "configs", "docs", "launch")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    # A py.typed marker says what it says by being there.
    empty = [path for path in files if path.name != "py.typed" and "__pycache__" not in path.parts]
    assert [path for path in empty if not path.stat().st_size] == []


def test_no_utils() -> None:
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "misc", "common")]


ABSOLUTE = re.compile(r"(?<![\w.~/:>])/(home|root|tmp|work|mnt|opt|Users|private|scratch)(?![\w-])")


def test_no_absolute_paths_in_what_people_read() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.toml")]
    assert texts[0].is_file()
    found = {str(path.relative_to(ROOT)): ABSOLUTE.findall(path.read_text(encoding="utf-8")) for path in texts}
    assert not {name: paths for name, paths in found.items() if paths}
    assert ABSOLUTE.search("look into /home/anybody/runs")
    assert not ABSOLUTE.search("https://example.org/home and runs/work and ./tmp")


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
