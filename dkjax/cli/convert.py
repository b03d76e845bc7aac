"""`dkjax convert`: an encrypted data set in the formats of other loaders, and back."""

import contextlib
import enum
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people, is_full_disk
from dkjax.cli.options import AsJson
from dkjax.cli.stop import tidying_up
from dkjax.errors import StoppedError
from dkjax.report.console import show


class Format(enum.StrEnum):
    """The names of `dkjax.dkds.convert.CONTAINERS`, which take long to import."""

    dkds = enum.auto()
    tfds = enum.auto()
    parquet = enum.auto()
    png = enum.auto()
    packed = enum.auto()


@for_people
def convert(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="An encrypted data set NAME.dkds, or an export of one.", metavar="SOURCE")
    ],
    to: Annotated[
        Format,
        typer.Option(
            help="tfds: ArrayRecord files for TensorFlow Datasets; parquet: for Hugging Face datasets; "
            "png: a folder of class folders; packed: a small file for hand-over; dkds: back."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.", metavar="PATH")],
    as_json: AsJson = False,
) -> None:
    """Convert an encrypted data set for other loaders, and an export of one back.

    Images, labels, ids and their order stay exactly what they are. PATH appears when it is complete, or not at all.
    Exports carry dkds.json, without which nothing becomes an encrypted data set: to encrypt images, use dkjax encrypt.
    Bytes and seconds go into the ledger beside PATH, as with dkjax encrypt.
    """
    from dkjax.cli.progress import Activity
    from dkjax.dkds.convert import convert_data_set
    from dkjax.runtime.ledger import files_in, ledger_beside, timed

    with timed() as took, _whole_or_nothing(out), tidying_up(), Activity() as activity:
        report = activity.counting("converting", "records")
        origin, target, manifest = convert_data_set(source, to, out, report)
    size = sum(size for _, _, size in files_in(out))
    more: dict[str, int | str] = {"data_set": out.name, "records": manifest.records}
    ledger_beside(out).write("written", manifest.client, size, took.seconds, took.cpu_seconds, **more)
    summary = {
        "path": str(out),
        "from": origin.name,
        "to": target.name,
        "id": manifest.id,
        "client": manifest.client,
        "records": manifest.records,
        "bytes": size,
        "seconds": round(took.seconds, 3),
        "read_with": target.how_to_read(out),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        show(f"{out}: {manifest.records:,} records as {target.title}, {size / 1e6:,.1f} MB; {took.seconds:.1f} s")
        show(f"read with {target.how_to_read(out)}")


@contextlib.contextmanager
def _whole_or_nothing(out: Path) -> Iterator[None]:
    """Say of a stop that nothing is left, where other commands keep what was finished."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; nothing is left of {out}, and the same command begins again") from None
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise StoppedError(
            f"the disk is full; nothing is left of {out}: make room, and the same command begins again"
        ) from error
