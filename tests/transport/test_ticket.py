"""Tickets: signed, valid for a time, and clear about what they ask for."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from sites import RECIPE, Server, file_server

from dkjax.errors import ConfigError, DataError
from dkjax.transport.invite import issue
from dkjax.transport.signature import signed
from dkjax.transport.ticket import (
    PURPOSE,
    Ticket,
    moment,
    parse_span,
    parse_ticket,
    require_fits,
    require_valid_now,
    to_file,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return file_server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def ticket(server: Server) -> Ticket:
    return server.ticket("plant-a")


def tree_of(ticket: Ticket) -> dict[str, Any]:
    return ticket.model_dump(mode="json")


def test_it_is_read_as_it_was_written(ticket: Ticket) -> None:
    assert parse_ticket(to_file(tree_of(ticket)), "it") == ticket
    assert ticket.recipe == RECIPE
    assert len(ticket.recipients) == 2
    assert ticket.id not in ticket.slot


EDITS: dict[str, Any] = {
    "id": "0" * 32,
    "client": "plant-b",
    "expires": "2099-01-01T00:00:00Z",
    "issued": "2001-01-01T00:00:00Z",
    "max_images": 10**9,
    "max_bytes": 10**12,
    "client_key": "ab" * 32,
    "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
    "server_key": "ab" * 32,
    "piece_bytes": 1 << 20,
    "place": {"url": "s3://elsewhere/x", "options": {}, "presigned": [], "manifest": [], "report": None},
    "signature": "00" * 64,
}


@pytest.mark.parametrize("field", EDITS)
def test_an_edited_ticket(field: str, ticket: Ticket) -> None:
    with pytest.raises(DataError, match="it was edited after the server had signed it"):
        parse_ticket(to_file(tree_of(ticket) | {field: EDITS[field]}), "it")


def test_an_edited_recipe(ticket: Ticket) -> None:
    tree = tree_of(ticket)
    tree["recipe"]["class_names"] = ["whole"]
    with pytest.raises(DataError, match="it was edited"):
        parse_ticket(to_file(tree), "it")


def test_a_signature_of_something_else_is_none(server: Server, ticket: Ticket) -> None:
    tree = {name: value for name, value in tree_of(ticket).items() if name != "signature"}
    assert parse_ticket(to_file(signed(tree, PURPOSE, server.keys.signing)), "it") == ticket
    with pytest.raises(DataError, match="it was edited"):
        parse_ticket(to_file(signed(tree, "report", server.keys.signing)), "it")


def test_options_of_a_store_that_a_ticket_may_not_set(server: Server, ticket: Ticket) -> None:
    tree = {name: value for name, value in tree_of(ticket).items() if name != "signature"}
    tree["place"]["options"] = {"endpoint": "http://127.0.0.1:9", "skip_signature": "true"}
    with pytest.raises(DataError, match=r"place\.options: .* there is no option skip_signature"):
        parse_ticket(to_file(signed(tree, PURPOSE, server.keys.signing)), "it")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no ticket"),
        (b"\xff", "no ticket"),
        (b"[]", "does not say"),
        (b'{"format": "dkjax-ticket", "version": 2}', "install a newer one"),
        (b'{"format": "dkjax-ticket", "version": 1}', "id: Field required"),
        (b'{"format": "dkjax-ticket", "format": "dkjax-ticket"}', "one name twice"),
        (b"[" * 100_000, "no ticket"),
    ],
)
def test_no_ticket(data: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        parse_ticket(data, "a.ticket")
    assert "\n" not in str(caught.value)


def test_more_fields_than_there_are(ticket: Ticket) -> None:
    with pytest.raises(DataError, match="extra: Extra inputs"):
        parse_ticket(to_file(tree_of(ticket) | {"extra": 1}), "it")


def test_the_time_it_is_valid(ticket: Ticket) -> None:
    issued, expires = moment(ticket.issued), moment(ticket.expires)
    second = datetime.timedelta(seconds=1)
    require_valid_now(ticket, issued)
    require_valid_now(ticket, issued - 200 * second)
    require_valid_now(ticket, expires)
    with pytest.raises(DataError, match=r"expired at .*, and this machine's clock says .*: ask the server"):
        require_valid_now(ticket, expires + second)
    with pytest.raises(DataError, match=r"was issued at .*, but this machine's clock says .*: one of the two clocks"):
        require_valid_now(ticket, issued - datetime.timedelta(days=1))


@pytest.mark.parametrize(
    ("changes", "records", "problem"),
    [
        ({"class_names": ["dent", "scratch", "whole"]}, 5, "has the classes dent, scratch, whole, but the ticket asks"),
        ({"class_names": ["scratch", "dent"]}, 5, "in this order"),
        ({"image_shape": [8, 8, 3]}, 5, r"images of shape \[8, 8, 3\], but the ticket asks for \[4, 4, 3\]"),
        ({"scheme": "etc"}, 5, "is encrypted by etc"),
        ({"parameters": {"block_size": 4}}, 5, r"encrypted by disposable \(block_size 4\)"),
        ({}, 1001, "has 1,001 images, but the ticket allows 1,000"),
    ],
)
def test_another_data_set_than_is_asked_for(
    changes: dict[str, Any], records: int, problem: str, ticket: Ticket
) -> None:
    require_fits(ticket, RECIPE, 1000, "a.dkds")
    with pytest.raises(DataError, match=problem):
        require_fits(ticket, RECIPE.model_copy(update=changes), records, "a.dkds")


def test_spans() -> None:
    assert parse_span("7d") == datetime.timedelta(days=7)
    assert parse_span("90m") == datetime.timedelta(minutes=90)
    for text in ("", "7", "d", "0d", "-1d", "1y", "1.5h"):
        with pytest.raises(ValueError, match="expected a number and m, h, d or w"):
            parse_span(text)


def test_invitations_that_cannot_be(server: Server) -> None:
    def make(clients: list[str], store: str = "s3://inbox", **settings: Any) -> None:
        options = settings.pop("options", {})
        given = {"expires": datetime.timedelta(days=1), "max_bytes": 10**6, "max_images": 10, **settings}
        issue(server.keys, clients, RECIPE, store, options, **given)

    with pytest.raises(ConfigError, match="a client is named twice"):
        make(["a", "a"])
    with pytest.raises(
        ConfigError, match="expected endpoint, region, virtual_hosted_style_request; a ticket holds no c"
    ):
        make(["a"], options={"aws_secret_access_key": "x"})
    with pytest.raises(ConfigError, match=r"of no kind that is known: a folder, s3"):
        make(["a"], "ftp://inbox")
    with pytest.raises(ConfigError, match="there is a key for b, who is not among the clients"):
        make(["a"], client_keys={"b": "ab" * 32})
    with pytest.raises(ConfigError, match="valid for 7 days at most"):
        make(["a"], presign=True, expires=datetime.timedelta(days=8))
    with pytest.raises(ConfigError, match="signs no URLs here"):
        make(["a"], str(server.folder / "store"), presign=True)
    with pytest.raises(ConfigError, match="the client's name 'a b' is no pseudonym"):
        make(["a b"])


def test_the_keys_of_a_server(server: Server, tmp_path: Path) -> None:
    assert "move" in server.keys.warnings()[0]
    made = file_server(tmp_path)
    for path in (made.keys.path / "server.agekey", made.keys.path / "signing.key"):
        assert path.stat().st_mode & 0o077 == 0
    ticket = made.ticket("plant-a")
    assert list(made.keys.tickets()) == [ticket.slot]
    (made.keys.path / "server.agekey").unlink()
    with pytest.raises(DataError, match=r"is lost: bring offline\.agekey back from where it is kept"):
        made.keys.identities()
    assert len(made.keys.identities([made.keys.path / "offline.agekey"])) == 1
    assert "only the offline key opens" in made.keys.warnings()[1]
    assert json.loads((made.keys.path / "tickets" / f"{ticket.id}.ticket").read_text())["id"] == ticket.id
