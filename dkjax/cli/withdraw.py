"""`dkjax withdraw`: a client takes its data back."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.ingest import Keys, StoreOptions
from dkjax.cli.options import AsJson
from dkjax.cli.plural import plural
from dkjax.report.console import say, show


@for_people
def withdraw(
    context: typer.Context,
    client: Annotated[str, typer.Argument(help="The pseudonym of the client.", metavar="CLIENT")],
    into: Annotated[Path, typer.Option(help="The folder of the data sets.", metavar="DIR")],
    store: Annotated[
        str | None, typer.Option(help="Remove what the client has put there, too.", metavar="STORE")
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="A folder to look for models in; runs by default.", metavar="DIR")
    ] = None,
    keys: Keys = Path("server-keys"),
    store_options: StoreOptions = None,
    as_json: AsJson = False,
) -> None:
    """Remove a client's data, keep them from returning, and list the models that were trained on them.

    The models are listed and left: what a model has learnt is not removed with the data. The client's tickets are
    revoked.
    """
    from dkjax.cli.invite import pairs
    from dkjax.errors import DataError
    from dkjax.transport.register import Register
    from dkjax.transport.server_keys import load_server_keys
    from dkjax.transport.store import open_store
    from dkjax.transport.withdraw import withdraw as remove

    if not into.is_dir():
        raise DataError(f"there is no folder {into}: expected the --into of dkjax ingest")
    places = runs or [path for path in (Path("runs"),) if path.is_dir()]
    if missing := [path for path in places if not path.is_dir()]:
        raise DataError(f"there is no folder {missing[0]} to look for models in")
    opened = None if store is None else open_store(store, pairs(store_options, "--store-option"))
    server_keys = load_server_keys(keys)
    done = remove(client, Register(into), server_keys, opened, places)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "client": client,
                    "data_sets": [
                        {"id": one.data_set, "folder": one.folder, "records": one.records} for one in done.data_sets
                    ],
                    "tickets": done.tickets,
                    "objects": done.objects,
                    "models": [str(path) for path in done.models],
                    "unreadable": [str(path) for path in done.unreadable],
                }
            )
        )
        return
    for one in done.data_sets:
        show(f"removed: {into / one.folder}, {plural(one.records, 'image')}")
    show(
        f"{plural(done.tickets, 'ticket')} of {client} revoked, {plural(done.objects, 'object')} removed from the store"
    )
    for path in done.models:
        show(f"trained on it: {path}")
    if not done.models:
        where = ", ".join(map(str, places)) or "no folder"
        show(f"no model trained on it was found (looked in {where})")
    for path in done.unreadable:
        say(f"warning: {path} cannot be read: look yourself whether its model was trained on the data")
