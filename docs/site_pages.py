"""The pages of the site that no file of docs/ holds: the README, and the reference, generated from the package.

A hook of MkDocs (mkdocs.yml names it). Every module in `FACES` gets a page, and so does every module in
`dkjax.__all__`; a page has every name of its module's `__all__`. A new name is on the site without another step.
"""

import ast
import importlib
import importlib.util
import inspect
import json
import posixpath
import re
from pathlib import Path
from typing import Any

import typer
import typer.cli
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import dkjax
from dkjax.cli.main import app

ROOT = Path(__file__).parents[1]
TOP_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FACES = {
    "dkjax": "dkjax",
    "dkjax.schemes": "dkjax.cipher.schemes",
    "dkjax.keys": "dkjax.keys",
    "dkjax.client": "dkjax.client",
    "dkjax.server": "dkjax.server",
    "dkjax.models": "dkjax.models",
    "dkjax.models.pretrained": "dkjax.models.pretrained",
    "dkjax.experiment": "dkjax.experiment",
    "dkjax.torch": "dkjax.torch",
    "dkjax.reference": "dkjax.reference",
    "dkjax.errors": "dkjax.errors",
}
"""The public modules: the name that a user writes, and the module that it stands for."""


def on_config(config: MkDocsConfig) -> None:
    """Add the reference to the navigation, and to its guides every page that mkdocs.yml does not list."""
    (guides,) = (section["Guides"] for section in config.nav if "Guides" in section)
    listed = str(config.nav)
    guides += [path.name for path in sorted((ROOT / "docs").glob("*.md")) if f"'{path.name}'" not in listed]
    pages = [{name: f"reference/{name}.md"} for name in faces()]
    config.nav.append({"Reference": [*pages, {"Command line": "reference/command_line.md"}]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the generated pages, and the files of the repository that pages link to."""
    for name in TOP_PAGES:
        add(files, config, _site_path(name), (ROOT / name).read_text(encoding="utf-8"))
    for name, home in faces().items():
        add(files, config, f"reference/{name}.md", reference_page(name, home))
    add(files, config, "reference/command_line.md", command_line_page())
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in TOP_PAGES)]:
        for path in _linked_files(page):
            if not files.get_file_from_path(path):
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the links of a page lead to where the site has their targets."""
    path = page.file.src_uri
    source = next((name for name in TOP_PAGES if _site_path(name) == path), f"docs/{path}")
    folder = posixpath.dirname(source)

    def moved(link: re.Match) -> str:
        target = _site_path(posixpath.normpath(posixpath.join(folder, link[1])))
        return f"]({posixpath.relpath(target, posixpath.dirname(path) or '.')}{link[2] or ''})"

    return _LINK.sub(moved, markdown)


def add(files: Files, config: MkDocsConfig, path: str, content: str) -> None:
    """Add a generated page."""
    files.append(File.generated(config, path, content=content))


def faces() -> dict[str, str]:
    """Return the public modules: those of `FACES`, and those in `dkjax.__all__`."""
    listed = {name: getattr(dkjax, name) for name in dkjax.__all__}
    modules = {f"dkjax.{name}": value.__name__ for name, value in listed.items() if inspect.ismodule(value)}
    return FACES | modules


def public_names(module: str) -> list[str]:
    """Return a module's `__all__`, or the public functions and classes that it defines.

    Args:
        module: its name. It is read, not imported, so that PyTorch is not needed.
    """
    tree = ast.parse(_source_of(module))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            try:
                return list(ast.literal_eval(node.value))
            except ValueError:  # computed: only the module knows
                return list(importlib.import_module(module).__all__)
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [name for name in defined if not name.startswith("_")]


def reference_page(name: str, home: str) -> str:
    """Return the page of a public module: its docstring, then every public name."""
    lines = [
        f"# `{name}`",
        "",
        f"::: {home}",
        *_options(members=False, show_root_heading=False, show_root_toc_entry=False),
        "",
    ]
    for member in public_names(home):
        if f"{name}.{member}" in faces():
            lines += [f"- [`{name}.{member}`]({name}.{member}.md)"]
            continue
        public, definition = f"{name}.{member}", _definition(home, member)
        if public != definition:
            lines += ["", f"[](){{#{public}}}"]  # a link to the public name outlives a move of the definition
        lines += ["", f"::: {definition}", *_options(heading=public, toc_label=member)]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Return the help of every command as one page."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="dkjax")
    page = typer.cli.get_docs_for_click(obj=command, ctx=context, name="dkjax", title="Command line")
    page = re.sub(r"\n\*\*Commands\*\*:\n\n(\* .*\n)+", "", page)  # shortened there; the table of contents has them
    return re.sub(r"(`[^`\n]*`)|<", lambda found: found[1] or "&lt;", page)


def _options(**options: Any) -> list[str]:
    return ["    options:", *(f"      {key}: {json.dumps(value)}" for key, value in options.items())]


def _definition(module: str, name: str) -> str:
    """Return where a name is defined: what is public may be imported there on first use only."""
    if name in _defined_in(module):
        return f"{module}.{name}"
    value = getattr(importlib.import_module(module), name)
    if inspect.isfunction(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{module}.{name}"


def _defined_in(module: str) -> set[str]:
    body = ast.parse(_source_of(module)).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).read_text(encoding="utf-8")


_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def _linked_files(page: Path) -> list[str]:
    """Return the files of the repository that a page links to, but pages and modules."""
    targets = {(page.parent / link[1]).resolve() for link in _LINK.finditer(page.read_text(encoding="utf-8"))}
    files = (target for target in targets if target.is_file() and target.suffix not in (".md", ".py"))
    return [_site_path(path.relative_to(ROOT).as_posix()) for path in sorted(files)]


def _site_path(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path.endswith(".py"):
        return f"reference/{path.removesuffix('.py').replace('/', '.')}.md"
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
