"""`dkjax report`: one page about a run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.report.console import say, show


@for_people
def report(
    context: typer.Context,
    workdir: Annotated[
        Path, typer.Argument(help="The --workdir of a finished dkjax simulate, or of a dkjax attack.", metavar="DIR")
    ],
    attacks: Annotated[
        Path | None,
        typer.Option(help="The --workdir of a dkjax attack, or what it printed with --json; DIR/attacks by default."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write to; DIR by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write one page about a run: the question, the answer, tables, curves, pictures, cost, commands.

    Writes report.html, which needs no network and no other file, report.md and report.json.
    """
    from dkjax.report.page import write_report

    page = write_report(workdir, attacks, out)
    summary = json.loads(page.with_name("report.json").read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        show(summary["question"])
        for sentence in summary["answer"]:
            show(sentence)
    say(f"written: {', '.join(str(page.with_name(name)) for name in ('report.html', 'report.md', 'report.json'))}")
