"""`dkjax ingest`: the server takes what clients have put into the store."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.plural import plural
from dkjax.cli.stop import tidying_up
from dkjax.report.console import say, show

if TYPE_CHECKING:
    from dkjax.transport.ingest import Verdict

Keys = Annotated[Path, typer.Option(help="The folder of the server's keys.", metavar="DIR")]
StoreOptions = Annotated[
    list[str] | None,
    typer.Option("--store-option", help="What obstore has to know, such as endpoint=URL.", metavar="NAME=VALUE"),
]


@for_people
def ingest(
    context: typer.Context,
    store: Annotated[
        str, typer.Argument(help="The store of the tickets, or a folder that was copied.", metavar="STORE")
    ],
    into: Annotated[Path, typer.Option(help="The folder for the data sets.", metavar="DIR")],
    keys: Keys = Path("server-keys"),
    identity: Annotated[
        list[Path] | None,
        typer.Option(help="Another key that opens what was sealed, such as the offline one.", metavar="FILE"),
    ] = None,
    store_options: StoreOptions = None,
    max_constant: Annotated[
        float, typer.Option(min=0, max=1, help="Refuse above this share of images of one value.")
    ] = 0.01,
    max_duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="Refuse above this share of images that the data set has already.")
    ] = 0.05,
    max_elsewhere: Annotated[
        float, typer.Option(min=0, max=1, help="Refuse above this share of images that other data sets have.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Take what clients have sent: open it, check everything, and put what is right among the data sets.

    Looks at every ticket that was issued. What is wrong with one client never keeps another's data. A sealed report for
    each client goes back into the store. How much was received of whom is in ledger.jsonl among the data sets. Exits
    with 4 if something was refused, with 5 if the store did not answer.
    """
    from dkjax.cli.invite import pairs
    from dkjax.cli.progress import Activity
    from dkjax.errors import DataError, TransportError
    from dkjax.transport.ingest import ingest as take
    from dkjax.transport.register import Register
    from dkjax.transport.sanity import Limits
    from dkjax.transport.server_keys import load_server_keys
    from dkjax.transport.store import open_store

    server_keys = load_server_keys(keys)
    identities = server_keys.identities(identity or ())
    opened = open_store(store, pairs(store_options, "--store-option"))
    with tidying_up(), Activity() as activity:
        activity.begin(f"looking at {store}", len(server_keys.tickets()))
        seen: list[Verdict] = []

        def tell(verdict: "Verdict") -> None:
            seen.append(verdict)
            activity.update(len(seen), None, [f"{len(seen)} tickets", verdict.client])

        verdicts = take(
            opened,
            Register(into),
            server_keys,
            identities,
            limits=Limits(max_constant, max_duplicates, max_elsewhere),
            tell=tell,
        )
    if as_json:
        typer.echo(json.dumps({"into": str(into), "verdicts": [dataclasses.asdict(one) for one in verdicts]}))
    else:
        for one in verdicts:
            _print(one)
    for warning in server_keys.warnings():
        say(f"warning: {warning}")
    refused = [one for one in verdicts if one.status == "refused"]
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise DataError(f"{len(refused)} of {plural(len(verdicts), 'ticket')} refused: {refused[0].client}{more}")
    if gone := [one for one in verdicts if one.status == "unreachable"]:
        raise TransportError(gone[0].reason)


def _print(one: "Verdict") -> None:
    about = [one.folder or one.reason]
    if one.records is not None:
        about.append(plural(one.records, "image"))
    if one.key is not None:
        about.append(f"key {one.key}")
    show(f"{one.client}: {one.status}: {', '.join(about)}")
    for line in (*one.images, *one.notes):
        show(f"  {line}")
