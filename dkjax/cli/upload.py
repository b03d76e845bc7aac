"""`dkjax upload`: a client seals a data set and puts it where its ticket says."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.plural import plural
from dkjax.cli.stop import tidying_up
from dkjax.cli.ticket import ClientKey, client_key_file
from dkjax.report.console import say, show

if TYPE_CHECKING:
    from dkjax.cli.progress import Activity


@for_people
def upload(
    context: typer.Context,
    data_set: Annotated[Path, typer.Argument(help="An encrypted data set.", metavar="NAME.dkds")],
    ticket: Annotated[Path, typer.Option(help="The ticket that the server sent.", metavar="NAME.ticket")],
    to: Annotated[
        str | None,
        typer.Option(
            help="Another store than the ticket's, such as a folder to be copied by rsync or sftp.", metavar="STORE"
        ),
    ] = None,
    key: ClientKey = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many pieces are sent at a time.")] = 4,
    rate: Annotated[str | None, typer.Option(help="The most bytes a second, such as 2MB.", metavar="BYTES")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a data set, seal it to the server's keys, and put it where the ticket says.

    The store's operator sees sizes and times alone. If it is interrupted, run it again: what the store has is not sent
    twice. The ledger of what was sent is in NAME.upload-..., beside the data set.
    """
    from dkjax.cli.progress import Activity
    from dkjax.errors import ConfigError
    from dkjax.transport.signature import load_or_make_key
    from dkjax.transport.sizes import parse_bytes
    from dkjax.transport.ticket import read_ticket
    from dkjax.transport.upload import upload as send

    try:
        limit = None if rate is None else parse_bytes(rate)
    except ValueError as error:
        raise ConfigError(f"--rate: {error}") from None
    found = read_ticket(ticket)
    own = load_or_make_key(client_key_file(key))
    with tidying_up(), Activity() as activity:
        done = send(
            data_set,
            found,
            own,
            to=to,
            threads=parallel,
            bytes_per_second=limit,
            progress=_progress(activity, f"sending {data_set.name}"),
        )
    if as_json:
        typer.echo(json.dumps({"path": str(data_set), "store": to or found.place.url, **dataclasses.asdict(done)}))
        return
    if done.already:
        show(f"{data_set} was sent before: {plural(done.objects, 'object')}, {done.bytes / 1e6:,.1f} MB; nothing to do")
    else:
        show(
            f"sent {data_set}: {plural(done.records, 'image')} in {plural(done.objects, 'object')}, "
            f"{done.sent_bytes / 1e6:,.1f} MB in {done.seconds:.1f} s, to {to or found.place.url}"
        )
    show(f"signed by {found.client}, key {done.fingerprint}: tell it to the server's operator, to be compared")
    for note in done.notes:
        say(f"note: {note}")


def _progress(activity: "Activity", what: str) -> Callable[[int, int], None]:
    """Show bytes, their rate and the time that is left."""
    began: list[float] = []

    def update(done: int, total: int) -> None:
        if not began:
            activity.begin(what)
            began.append(time.monotonic())
        rate = done / max(time.monotonic() - began[0], 1e-3)
        details = [f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB", f"{rate / 1e6:,.1f} MB/s"]
        if rate:
            details.append(f"{(total - done) / rate:,.0f} s left")
        activity.update(done, total, details)

    return update
