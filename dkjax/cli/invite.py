"""`dkjax invite`: the server writes a ticket for each client."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson, Overrides
from dkjax.report.console import say, show


@for_people
def invite(
    context: typer.Context,
    config: Annotated[
        Path, typer.Argument(help="A TOML file; data.image_size, data.classes and its section scheme count here.")
    ],
    clients: Annotated[list[str], typer.Option(help="The pseudonyms of the clients.", metavar="NAME...")],
    store: Annotated[
        str,
        typer.Option(
            help="Where they put what they send: a folder, or s3://BUCKET/PATH, gs://..., az://...", metavar="STORE"
        ),
    ],
    expires: Annotated[str, typer.Option(help="For how long the tickets are valid.", metavar="SPAN")] = "7d",
    keys: Annotated[
        Path, typer.Option(help="The folder of the server's keys, made at the first time.", metavar="DIR")
    ] = Path("server-keys"),
    out: Annotated[Path, typer.Option(help="Where to write NAME.ticket.", metavar="DIR")] = Path("."),
    store_options: Annotated[
        list[str] | None,
        typer.Option("--store-option", help="What obstore has to know, such as endpoint=URL.", metavar="NAME=VALUE"),
    ] = None,
    client_keys: Annotated[
        list[str] | None,
        typer.Option(
            "--client-key", help="The key of a client, as its dkjax ticket key prints it.", metavar="NAME=KEY"
        ),
    ] = None,
    max_bytes: Annotated[str, typer.Option(help="The most that each may send, such as 20GB.")] = "20GB",
    max_images: Annotated[int, typer.Option(min=1, help="The most images of each.")] = 1_000_000,
    presign: Annotated[
        bool, typer.Option("--presign", help="Put URLs into the tickets with which clients need no account.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a ticket for each client: what to send, where to, sealed to whom, until when.

    The first time, this makes the server's keys: one to sign, and two of which each opens what clients seal. Keep one
    of the two elsewhere: if both are lost, nothing that was sent can be opened.
    """
    from dkjax.errors import ConfigError
    from dkjax.runtime.files import refuse_existing, whole_file
    from dkjax.transport.invite import issue, recipe_from_config
    from dkjax.transport.server_keys import make_server_keys
    from dkjax.transport.sizes import parse_bytes
    from dkjax.transport.ticket import parse_span, parse_ticket

    recipe = recipe_from_config(config, overrides or [])
    try:
        span, most = parse_span(expires), parse_bytes(max_bytes)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    for client in clients:
        refuse_existing(out / f"{client}.ticket", "--out")
    server_keys = make_server_keys(keys)
    made = issue(
        server_keys,
        clients,
        recipe,
        store,
        pairs(store_options, "--store-option"),
        expires=span,
        max_bytes=most,
        max_images=max_images,
        client_keys=pairs(client_keys, "--client-key"),
        presign=presign,
    )
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for client, data in made.items():
        path = out / f"{client}.ticket"
        with whole_file(path) as unfinished:
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(data)
        ticket = parse_ticket(data, str(path))
        written.append({"client": client, "ticket": str(path), "slot": ticket.slot, "expires": ticket.expires})
    fingerprint = ticket.server_fingerprint
    if as_json:
        typer.echo(json.dumps({"tickets": written, "server": fingerprint, "warnings": server_keys.warnings()}))
        return
    for one in written:
        show(f"written: {one['ticket']}, for {one['client']}, until {one['expires']}")
    show(f"this server: {fingerprint}; tell it to the clients by another way, to be compared with dkjax ticket show")
    show("send each ticket to its client alone: whoever has it can send in the client's place")
    for warning in server_keys.warnings():
        say(f"warning: {warning}")


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """Read options of the form NAME=VALUE."""
    from dkjax.errors import ConfigError

    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text}: expected NAME=VALUE")
        pairs[name] = value
    return pairs
