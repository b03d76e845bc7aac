"""What came of loading a checkpoint, for whoever has to know."""

import dataclasses
from typing import Any

_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Report:
    """What was loaded, and what was not taken as it lay in the file.

    Attributes:
        path: the file or folder.
        format: what it is, in words.
        loaded: how many of the model's arrays came from it.
        missing: the model's names for which it has nothing.
        unexpected: its names that the model has no place for.
        reset: the model's names that start from zero.
        drawn: the model's names that start from random numbers.
        resized: what was resized, in words.
        folded: what was taken into other weights, in words.
        notes: what else to know, such as a GELU unlike the model's.
    """

    path: str
    format: str
    loaded: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def adding(self, **entries: str) -> "Report":
        """Return a report with one more entry in each of the lists that are named."""
        longer: dict[str, Any] = {name: (*getattr(self, name), entry) for name, entry in entries.items()}
        return dataclasses.replace(self, **longer)

    def lines(self) -> list[str]:
        """Say all of it in lines for people; long lists of names are cut."""
        lines = [f"{self.path}: {self.format}, {self.loaded} arrays loaded"]
        for what, names in (
            ("missing in it", self.missing),
            ("not used", self.unexpected),
            ("starting from zero", self.reset),
            ("starting from random numbers", self.drawn),
            ("resized", self.resized),
            ("taken into other weights", self.folded),
        ):
            if names:
                lines.append(f"{what}: {listed(names)}")
        return lines + list(self.notes)


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Join names with commas, the first few of them."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
