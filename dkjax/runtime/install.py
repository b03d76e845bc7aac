"""How to install what is missing: dkjax is on no index, so an extra is installed from its clone, or by its packages."""

import importlib.metadata
import re
import shlex
from pathlib import Path

_CLONE = Path(__file__).parents[2]


def how_to_install(extra: str | None = None, clone: Path = _CLONE) -> str:
    """Say the command that installs an extra, or dkjax itself.

    Args:
        extra: its name in pyproject.toml; dkjax itself if None.
        clone: where the source would be.

    Returns:
        A command for a shell: from the clone, where dkjax runs from one; else the packages of the extra by their names,
        which are on the index.

    Guarantees:
        - Every extra is known, in a clone and in a wheel (`test_how_to_install.py::test_every_extra_is_known`).
        - No code or page asks an index for dkjax (`test_how_to_install.py::test_nothing_asks_an_index_for_dkjax`).
    """
    if (clone / "pyproject.toml").is_file():
        target = f"{clone}[{extra}]" if extra else str(clone)
        return f"pip install -e {shlex.quote(target)}"
    if extra is None:
        return "pip install the wheel of dkjax"
    return " ".join(["pip install", *map(shlex.quote, _packages(extra))])


def _packages(extra: str) -> list[str]:
    """The requirements that the installed dkjax lists for an extra, those of its own extras spelled out."""
    found = []
    for requirement in importlib.metadata.requires("dkjax") or ():
        package, _, marker = requirement.partition(";")
        if not re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", marker):
            continue
        others = re.fullmatch(r"dkjax\[(.+)\]\s*", package)
        found += [one for other in others[1].split(",") for one in _packages(other)] if others else [package.strip()]
    return found
