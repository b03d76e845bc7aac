"""The recipes that come along: configurations that say in their first lines what they do and what they need."""

import dataclasses
import re
import tomllib
from functools import cached_property
from pathlib import Path

# In a wheel they are in the package, in a clone beside it.
_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A configuration that comes along.

    Attributes:
        name: its file's name without the suffix.
        path: the file.
    """

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """The file as it is."""
        return self.path.read_text(encoding="utf-8")

    @property
    def summary(self) -> str:
        """What it does, in a clause: its comment up to the first colon or full stop."""
        _, _, comment = self.text.partition("\n#\n")
        return re.split(r"[:.](?:\s|$)", " ".join(comment.replace("# ", "").split()), maxsplit=1)[0]

    @property
    def source(self) -> str:
        """Where its images come from, `data.source`."""
        return str(tomllib.loads(self.text)["data"]["source"])

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs beside dkjax, as its comment lists it, without how to get it."""
        listed = re.findall(r"^# - ([^,:(\n]+)", self.text, re.MULTILINE)
        accelerator = ["a GPU or a TPU"] if "\n# For a GPU or a TPU." in self.text else []
        return (*accelerator, *(item.strip() for item in listed))


def recipes() -> dict[str, Recipe]:
    """Return the recipes that come along, by name."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    files = [] if folder is None else sorted(folder.glob("*.toml"))
    return {path.stem: Recipe(path.stem, path) for path in files}
