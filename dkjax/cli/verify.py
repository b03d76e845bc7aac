"""`dkjax verify`: are encrypted data sets whole, and if not, what is wrong with them."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.plural import plural
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.dkds.verify import Report

_SHOWN = 20


@for_people
def verify(
    context: typer.Context,
    data_sets: Annotated[list[Path], typer.Argument(help="Encrypted data sets.", metavar="NAME.dkds...")],
    as_json: AsJson = False,
) -> None:
    """Check every byte of encrypted data sets, and say all that is wrong with them.

    Files, hashes, checksums of records, counts, shapes, labels and ids. All data sets are looked at, also when one is
    damaged. Exits with 0 if all are whole, with 4 otherwise. Checksums find accidents, not a forger: see docs/dkds.md.
    """
    from dkjax.cli.progress import Activity
    from dkjax.dkds.verify import verify as check
    from dkjax.errors import DataError

    reports = []
    for path in data_sets:
        started = time.perf_counter()
        with Activity() as activity:
            report = check(path, activity.counting(f"checking {path.name}", "bytes"))
        reports.append(report)
        if not as_json:
            _print(report, time.perf_counter() - started)
    damaged = [str(report.path) for report in reports if not report.whole]
    if as_json:
        typer.echo(json.dumps({"whole": not damaged, "data_sets": [_as_json(report) for report in reports]}))
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise DataError(f"{len(damaged)} of {len(reports)} data sets not whole: {damaged[0]}{more}")


def _print(report: "Report", seconds: float) -> None:
    from dkjax.dkds.layout import is_packed

    for problem in report.problems[:_SHOWN]:
        show(f"{problem.kind}: {problem}")
    if len(report.problems) > _SHOWN:
        show(f"... and {len(report.problems) - _SHOWN:,} more problems; --json lists them all")
    if report.manifest is not None and report.whole:
        size = sum(entry.bytes for entry in report.manifest.shards)
        unpacks = ", packed to be handed over: dkjax convert --to dkds unpacks it" if is_packed(report.path) else ""
        shards = plural(len(report.manifest.shards), "shard")
        show(
            f"{report.path} is whole: {report.manifest.records:,} images in {shards}, "
            f"{size / 1e6:,.1f} MB{' once unpacked' if unpacks else ''}, {size / 1e9 / seconds:.1f} GB/s{unpacks}"
        )
        if (missing := report.manifest.scheme.missing) is not None:
            show(missing)


def _as_json(report: "Report") -> dict[str, Any]:
    manifest = report.manifest
    return {
        "path": str(report.path),
        "whole": report.whole,
        "id": manifest and manifest.id,
        "records": manifest and manifest.records,
        "shards": manifest and len(manifest.shards),
        "bytes": manifest and sum(entry.bytes for entry in manifest.shards),
        "problems": [
            {"kind": problem.kind, "shard": problem.shard, "record": problem.record, "text": str(problem)}
            for problem in report.problems
        ],
    }
