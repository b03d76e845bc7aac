"""`dkjax ticket`: what a ticket says, in plain words, before anything happens."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.transport.ticket import Ticket

ticket = typer.Typer(
    help="Show what a ticket asks for, its recipe, its report, and this client's key.", no_args_is_help=True
)

_File = Annotated[Path, typer.Argument(help="The ticket that the server sent.", metavar="NAME.ticket")]
ClientKey = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help="This client's key, made at the first time; by default in the user's configuration.",
        metavar="FILE",
    ),
]


def client_key_file(given: Path | None) -> Path:
    """Return where this client's key is."""
    import os

    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return given or home / "dkjax" / "client.key"


@ticket.command("show")
@for_people
def show_ticket(context: typer.Context, path: _File, as_json: AsJson = False) -> None:
    """Say in plain words what a ticket asks for; nothing is sent."""
    from dkjax.transport.ticket import read_ticket

    found = read_ticket(path)
    if as_json:
        shown = found.model_dump(mode="json", exclude={"place": {"presigned", "manifest", "report"}})
        typer.echo(json.dumps({**shown, "server": found.server_fingerprint, "slot": found.slot}))
    else:
        _print(found, path)


@ticket.command("recipe")
@for_people
def show_recipe(context: typer.Context, path: _File) -> None:
    """Print the configuration with which dkjax encrypt makes what the ticket asks for."""
    from dkjax.transport.ticket import read_ticket

    recipe = read_ticket(path).recipe
    height, width, channels = recipe.image_shape
    size = str(height) if height == width else f"[{height}, {width}]"
    lines = ["[data]", f"image_size = {size}", f"channels = {channels}", f"classes = {json.dumps(recipe.class_names)}"]
    lines += ["", "[scheme]", f"name = {json.dumps(recipe.scheme)}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in recipe.parameters.items()]
    typer.echo("\n".join(lines))


@ticket.command("key")
@for_people
def show_key(context: typer.Context, key: ClientKey = None, as_json: AsJson = False) -> None:
    """Print this client's public key, for the server's dkjax invite --client-key; it is made if there is none."""
    from dkjax.transport.signature import fingerprint, load_or_make_key, public_key_of

    path = client_key_file(key)
    public = public_key_of(load_or_make_key(path))
    if as_json:
        typer.echo(json.dumps({"key": public, "fingerprint": fingerprint(public), "path": str(path)}))
    else:
        show(public)
        show(f"fingerprint {fingerprint(public)}; the private key is {path}")


@ticket.command("report")
@for_people
def show_report(context: typer.Context, path: _File, key: ClientKey = None, as_json: AsJson = False) -> None:
    """Say what became of what was sent: the server's report from the store, opened with this client's key."""
    from dkjax.transport.pace import with_retries
    from dkjax.transport.report import MAX_REPORT_BYTES, read_report
    from dkjax.transport.signature import load_key
    from dkjax.transport.store import REPORT
    from dkjax.transport.ticket import read_ticket
    from dkjax.transport.upload import open_ticket_store

    found = read_ticket(path)
    store = open_ticket_store(found, None)
    sealed = with_retries(lambda: store.get(f"{found.slot}/{REPORT}", MAX_REPORT_BYTES))
    report: dict[str, Any] = {
        "status": "unknown",
        "reason": "there is no report yet: the server has not looked, or could not read what was sent",
    }
    if sealed is not None:
        report = read_report(sealed, found, load_key(client_key_file(key)))
    if as_json:
        typer.echo(json.dumps(report))
        return
    show(f"{report['status']}" + (f": {report['reason']}" if report["reason"] else ""))
    for line in report.get("images", ()):
        show(f"  {line}")


def _print(found: "Ticket", path: Path) -> None:
    from dkjax.transport.ticket import moment, now

    recipe, place = found.recipe, found.place
    height, width, channels = recipe.image_shape
    left = moment(found.expires) - now()
    when = f"{round(left.total_seconds() / 86400)} days left" if left.days else "less than a day left"
    when = when if left.days >= 0 else "expired"
    own = "by URLs in the ticket, without an account" if place.presigned else "with this machine's account there"
    show(f"{path}: a ticket for {found.client}, for one data set")
    show()
    rows = {
        "from": f"the server {found.server_fingerprint}: compare this with what the server's operator says",
        "images": f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}; "
        f"at most {found.max_images:,}",
        "classes": ", ".join(recipe.class_names[:20])
        + (f" and {len(recipe.class_names) - 20} more" if len(recipe.class_names) > 20 else ""),
        "scheme": f"{recipe.scheme} ({', '.join(f'{name} {value}' for name, value in recipe.parameters.items())})",
        "goes to": f"{place.url}, {own}; at most {found.max_bytes / 1e6:,.0f} MB",
        "sealed to": f"{len(found.recipients)} keys of the server; the store sees sizes and times alone",
        "signed by": "the key that the server knows already"
        if found.client_key
        else "this client's key, see dkjax ticket key",
        "valid": f"until {found.expires} ({when})",
    }
    for name, value in rows.items():
        show(f"  {name:<10} {value}")
    show()
    show(f"dkjax ticket recipe {path} prints the configuration for dkjax encrypt --client {found.client}")
    show("Whoever has this file can send in your place until the server has what you send: keep it to yourself.")
