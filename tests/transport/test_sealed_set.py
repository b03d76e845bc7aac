"""The signed list of what was sent: read as it was written, or refused; and the vectors of the page."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sites import Server, file_server

from dkjax.errors import DataError
from dkjax.transport.age import unseal
from dkjax.transport.sealed_set import PURPOSE, open_local, read_list, sign_list
from dkjax.transport.signature import canonical, fingerprint, is_signed, load_or_make_key, public_key_of, signed
from dkjax.transport.ticket import parse_ticket, slot_of, to_file

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "transport.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return file_server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def listed(server: Server) -> bytes:
    """A list, opened."""
    ticket, _ = server.send("plant-a")
    sealed = server.store.get(f"{ticket.slot}/manifest.age", 1 << 20)
    assert sealed is not None
    return unseal(sealed, server.keys.identities())


def test_the_list_names_every_byte(server: Server, listed: bytes) -> None:
    found = read_list(listed)
    local = open_local(server.data_set("plant-a"))
    assert [(one.file, one.bytes, one.sha256) for one in found.files] == list(local.files)
    assert found.records == 25
    assert canonical(json.loads(listed)) == listed


def test_any_change_of_the_list(listed: bytes) -> None:
    chance = random.Random(0)
    for _ in range(300):
        data = bytearray(listed)
        place = chance.randrange(len(data))
        data[place] = (data[place] + chance.randrange(1, 256)) % 256
        with pytest.raises(DataError) as caught:
            read_list(bytes(data))
        assert "\n" not in str(caught.value)


LEAVES: list[tuple[tuple[str | int, ...], Any]] = [
    (("version",), True),
    (("version",), 2),
    (("records",), 0),
    (("records",), "25"),
    (("sealed",), "yesterday"),
    (("files",), []),
    (("files", 0, "pieces"), []),
    (("files", 1, "file"), "shard-00007.safetensors"),
    (("files", 1, "pieces", 0, "bytes"), -1),
    (("files", 1, "bytes"), 10**9),
    (("client",), "a b"),
    (("public_key",), "zz"),
]


@pytest.mark.parametrize(("place", "value"), LEAVES)
def test_lists_that_disagree(place: tuple[str | int, ...], value: Any, listed: bytes) -> None:
    tree = json.loads(listed)
    node = tree
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    del tree["signature"]
    key = Ed25519PrivateKey.generate()
    tree.setdefault("public_key", public_key_of(key))
    if place != ("public_key",):
        tree["public_key"] = public_key_of(key)
    with pytest.raises(DataError, match="the list of what was sent is none"):
        read_list(canonical(signed(tree, PURPOSE, key)))


def test_one_object_twice(listed: bytes) -> None:
    tree = json.loads(listed)
    tree["files"][2]["pieces"] = tree["files"][1]["pieces"]
    with pytest.raises(DataError, match="one object is named twice"):
        read_list(canonical(tree))


def test_a_list_from_other_pieces_is_signed_anew(server: Server) -> None:
    local = open_local(server.data_set("plant-b"))
    with pytest.raises(KeyError):
        sign_list(local, server.ticket("plant-b"), {}, load_or_make_key(server.folder / "k"))


def test_vectors() -> None:
    """What docs/transport.md prescribes, byte by byte."""
    client = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["client_seed"]))
    server = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["server_seed"]))
    assert public_key_of(client) == VECTORS["client_key"]
    assert fingerprint(VECTORS["client_key"]) == VECTORS["client_fingerprint"]
    ticket = parse_ticket(to_file(VECTORS["ticket"]), "the ticket")
    assert ticket.server_key == public_key_of(server)
    assert ticket.sha256 == VECTORS["ticket_sha256"]
    assert slot_of(ticket.id) == ticket.slot == VECTORS["slot"]
    tree = {name: value for name, value in VECTORS["ticket"].items() if name != "signature"}
    assert signed(tree, "ticket", server) == VECTORS["ticket"]
    assert canonical(VECTORS["list"]).decode() == VECTORS["list_canonical"]
    found = read_list(VECTORS["list_canonical"].encode())
    assert (found.ticket, found.ticket_sha256) == (ticket.id, ticket.sha256)
    rest = {name: value for name, value in VECTORS["list"].items() if name != "signature"}
    assert signed(rest, PURPOSE, client) == VECTORS["list"]
    identity = pyrage.x25519.Identity.from_str(VECTORS["identity"])
    assert str(identity.to_public()) == ticket.recipients[0]
    assert unseal(base64.b64decode(VECTORS["piece"]), [identity]).decode() == VECTORS["piece_plain"]
    assert unseal(base64.b64decode(VECTORS["manifest"]), [identity]).decode() == VECTORS["list_canonical"]
    assert not is_signed({**VECTORS["ticket"], "max_images": 1}, "ticket", ticket.server_key)
