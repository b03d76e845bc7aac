"""A report as a document: headings, sentences, tables, charts and pictures, before it is HTML, Markdown or JSON."""

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under headings; a line end in a cell begins what is smaller print.

    Attributes:
        headings: of the columns.
        rows: the cells; the first of each row names it.
        caption: what the numbers are.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        name: a file name without its suffix.
        svg: the drawing.
        caption: what it shows.
    """

    name: str
    svg: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Rows of small pictures.

    Attributes:
        heading: what they have in common.
        rows: a label and PNGs, for each row.
    """

    heading: str
    rows: tuple[tuple[str, tuple[bytes, ...]], ...]


@dataclasses.dataclass(frozen=True)
class Listing:
    """Text that is typed or filed as it is: commands, a configuration."""

    text: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order."""

    heading: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    tiles: tuple[Tiles, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclasses.dataclass(frozen=True)
class Document:
    """A report: the question and the answer first.

    Attributes:
        title: its title.
        question: what was asked.
        answer: what was found, a sentence each.
        sections: the rest.
    """

    title: str
    question: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]

    def charts(self) -> Iterator[Chart]:
        """Every chart."""
        for section in self.sections:
            yield from section.charts
