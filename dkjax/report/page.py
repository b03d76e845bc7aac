"""One page about a run: HTML that needs nothing else, and the same as Markdown and JSON."""

import base64
import json
from pathlib import Path
from typing import Any

from dkjax.errors import MissingPackageError
from dkjax.report.content import compose
from dkjax.report.document import Document, Section, Table
from dkjax.report.run_files import RunFiles, read_run
from dkjax.runtime.files import whole_file
from dkjax.runtime.install import how_to_install

_TEMPLATE = Path(__file__).with_name("page.html")


def write_report(workdir: Path | str, attacks: Path | str | None = None, out: Path | str | None = None) -> Path:
    """Write the report of a simulation, or of attacks: `report.html`, `report.md`, `report.json` and charts.

    Args:
        workdir: the work directory of a finished `dkjax simulate`, or of a `dkjax attack`.
        attacks: the work directory of a `dkjax attack`, or the file it printed with `--json`; by default `attacks` in
            `workdir`, if that is there.
        out: the folder to write to; `workdir` by default.

    Returns:
        The path of `report.html`.

    Raises:
        ConfigError: there is nothing to report, or the simulation is not finished.
        DataError: a file is damaged.
        MissingPackageError: Jinja2 or Matplotlib is not installed.

    Guarantees:
        - every number is that of `results.json` and `attacks.json`
          (`test_page.py::test_every_number_is_that_of_the_run`).
        - the page loads nothing (`test_page.py::test_the_page_loads_nothing`).
    """
    run = read_run(Path(workdir), None if attacks is None else Path(attacks))
    folder = Path(workdir if out is None else out)
    document = compose(run)
    texts = {
        "report.html": as_html(document),
        "report.md": as_markdown(document),
        "report.json": json.dumps(as_json(document, run), indent=2, allow_nan=False) + "\n",
        **{f"figures/report-{chart.name}.svg": chart.svg for chart in document.charts()},
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return folder / "report.html"


def as_html(document: Document) -> str:
    """Render a document as one page that loads nothing; text from elsewhere is escaped."""
    try:
        import jinja2
    except ImportError:
        raise MissingPackageError(f"a report needs Jinja2: {how_to_install('report')}") from None
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(document=document)


def as_markdown(document: Document) -> str:
    """Render a document as Markdown; charts are files beside it, tiles are on the page alone."""
    parts = [f"# {_escaped(document.title)}", f"**{_escaped(document.question)}**"]
    parts += [_escaped(sentence) for sentence in document.answer]
    for section in document.sections:
        parts += [f"## {_escaped(section.heading)}", *map(_escaped, section.sentences)]
        for table in section.tables:
            parts += ([_escaped(table.caption)] if table.caption else []) + [_markdown_table(table)]
        parts += [f"![{chart.caption}](figures/report-{chart.name}.svg)" for chart in section.charts]
        for listing in section.listings:
            parts += ([_escaped(listing.caption)] if listing.caption else []) + [f"```\n{listing.text.rstrip()}\n```"]
        if section.tiles:
            parts.append("The pictures are in report.html.")
    return "\n\n".join(parts) + "\n"


def as_json(document: Document, run: RunFiles) -> dict[str, Any]:
    """Return the text of a document, and the results that it is of, as plain JSON values."""
    return {
        "title": document.title,
        "question": document.question,
        "answer": list(document.answer),
        "sections": [_json_section(section) for section in document.sections],
        "results": run.simulation,
        "attacks": run.attacks,
    }


def _json_section(section: Section) -> dict[str, Any]:
    return {
        "heading": section.heading,
        "sentences": list(section.sentences),
        "tables": [
            {"caption": table.caption, "headings": list(table.headings), "rows": [list(row) for row in table.rows]}
            for table in section.tables
        ],
        "listings": [{"caption": listing.caption, "text": listing.text} for listing in section.listings],
    }


def _markdown_table(table: Table) -> str:
    rows = [table.headings, ("---",) + ("---:",) * (len(table.headings) - 1), *table.rows]
    cells = ([_escaped(cell) if number != 1 else cell for cell in row] for number, row in enumerate(rows))
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _escaped(text: str) -> str:
    """Keep text from elsewhere, such as names of classes, from being Markdown or HTML."""
    line = " ".join(text.split())
    for sign in "\\`*_[]<>|":
        line = line.replace(sign, f"\\{sign}")
    return line
