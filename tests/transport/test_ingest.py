"""What a server takes in: everything that is right, nothing else, and one client's mischief is no other's."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data_sets
from sites import PIECE, Server, file_server
from small_data_sets import commit_again, write_small

from dkjax.dkds.verify import verify
from dkjax.errors import DataError
from dkjax.runtime.ledger import read_ledger
from dkjax.transport import upload as uploading
from dkjax.transport.age import seal, unseal
from dkjax.transport.ingest import ingest
from dkjax.transport.report import read_report
from dkjax.transport.sanity import Limits
from dkjax.transport.sealed_set import PURPOSE
from dkjax.transport.server_keys import make_server_keys
from dkjax.transport.signature import canonical, load_or_make_key, public_key_of, signed
from dkjax.transport.store import MANIFEST, REPORT, Store
from dkjax.transport.store_errors import StoreError
from dkjax.transport.ticket import Ticket

HERE = Path(__file__).parent


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return file_server(tmp_path / "server")


def slot_of(server: Server, ticket: Ticket) -> Path:
    return server.folder / "store" / ticket.slot


def list_of(server: Server, ticket: Ticket) -> dict[str, Any]:
    sealed = (slot_of(server, ticket) / MANIFEST).read_bytes()
    return json.loads(unseal(sealed, server.keys.identities()))


def write_list(server: Server, ticket: Ticket, tree: dict[str, Any], *, sign: bool = True) -> None:
    """Put another list there, as whoever has the client's key could, or with a signature that is wrong now."""
    key = load_or_make_key(server.folder / "sites" / "hostile.key")
    if sign:
        rest = {name: value for name, value in tree.items() if name != "signature"}
        tree = signed({**rest, "public_key": public_key_of(key)}, PURPOSE, key)
    (slot_of(server, ticket) / MANIFEST).write_bytes(seal(canonical(tree), server.keys.recipients))


def test_two_clients(server: Server) -> None:
    for client in ("plant-a", "plant-b"):
        server.send(client)
    server.ticket("plant-c")
    told: list[str] = []
    verdicts = server.take(tell=lambda verdict: told.append(verdict.client))
    assert {name: one.status for name, one in verdicts.items()} == {
        "plant-a": "accepted",
        "plant-b": "accepted",
        "plant-c": "waiting",
    }
    assert sorted(told) == sorted(verdicts)
    assert verdicts["plant-a"].notes == (
        "first data set of plant-a: compare the fingerprint of its key with what the site says",
    )
    folders = sorted(server.register.into.glob("*.dkds"))
    assert len(folders) == 2
    assert all(verify(folder).whole for folder in folders)
    assert {name: one.status for name, one in server.take().items()}["plant-a"] == "kept"
    assert sorted(server.register.into.glob("*.dkds")) == folders


def test_the_ledger(server: Server) -> None:
    sent = {client: server.send(client)[1] for client in ("plant-a", "plant-b")}
    server.ticket("plant-c")
    verdicts = server.take()
    assert {*server.take().values()} >= {verdicts["plant-c"]}  # what is kept or missing is not fetched
    events = read_ledger(server.register.into / "ledger.jsonl")
    assert sorted((event["event"], event["client"], event["status"]) for event in events) == [
        ("received", client, "accepted") for client in ("plant-a", "plant-b")
    ]
    for event in events:
        assert event["bytes"] == sent[event["client"]].sent_bytes
        assert event["data_set"] == verdicts[event["client"]].data_set
        assert event["seconds"] > 0 and event["cpu_seconds"] > 0


def test_what_somebody_removed_is_taken_again(server: Server) -> None:
    server.send("plant-a")
    folder = server.take()["plant-a"].folder
    assert folder is not None
    shutil.rmtree(folder)
    assert server.take()["plant-a"].status == "accepted"
    assert verify(Path(folder)).whole


def test_the_offline_key_opens_it(server: Server) -> None:
    server.send("plant-a")
    (server.keys.path / "server.agekey").unlink()
    identities = server.keys.identities([server.keys.path / "offline.agekey"])
    (verdict,) = ingest(server.store, server.register, server.keys, identities)
    assert verdict.status == "accepted"


def test_the_report(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    server.take()
    sealed = (slot_of(server, ticket) / REPORT).read_bytes()
    key = load_or_make_key(server.folder / "sites" / "plant-a.key")
    report = read_report(sealed, ticket, key)
    assert (report["status"], report["records"], report["images"]) == ("accepted", 25, [])
    with pytest.raises(DataError, match="sealed for another key"):
        read_report(sealed, ticket, load_or_make_key(server.folder / "sites" / "other.key"))
    with pytest.raises(DataError, match="about another ticket"):
        read_report(sealed, server.ticket("plant-a"), key)
    with pytest.raises(DataError, match="not signed by the server"):
        read_report(sealed, ticket.model_copy(update={"server_key": "ab" * 32}), key)


def test_a_report_tells_nothing_of_others(server: Server) -> None:
    server.send("plant-a")
    server.take()
    copied = server.data_set("plant-b", noise=sum(b"plant-a"))
    assert copied.exists()
    ticket, _ = server.send("plant-b")
    verdict = server.take()["plant-b"]
    assert "25 of 25 images are in a data set that was accepted before" in verdict.notes
    key = load_or_make_key(server.folder / "sites" / "plant-b.key")
    report = read_report((slot_of(server, ticket) / REPORT).read_bytes(), ticket, key)
    assert report["images"] == []
    assert "before" not in json.dumps(report)


def test_copied_only_in_part(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    slot = slot_of(server, ticket)
    names = sorted(path.name for path in slot.iterdir() if path.name != MANIFEST)
    away = server.folder / "away"
    away.mkdir()
    shutil.move(slot / names[0], away)
    assert "1 objects are missing" in server.take()["plant-a"].reason
    shutil.move(slot / MANIFEST, away)
    verdict = server.take()["plant-a"]
    assert (verdict.status, verdict.reason) == ("incomplete", f"6 objects are there, {MANIFEST} is not yet")
    for path in away.iterdir():
        shutil.move(path, slot)
    assert server.take()["plant-a"].status == "accepted"


def test_another_key_than_before(server: Server) -> None:
    server.send("plant-a")
    server.take()
    shutil.rmtree(server.folder / "sites" / "plant-a.dkds")
    (server.folder / "sites" / "plant-a.key").unlink()
    server.data_set("plant-a", noise=77)
    ticket, _ = server.send("plant-a")
    verdicts = {one.slot: one for one in ingest(server.store, server.register, server.keys, server.keys.identities())}
    assert sorted(one.status for one in verdicts.values()) == ["kept", "refused"]
    assert "which is not the key of plant-a" in verdicts[ticket.slot].reason


def test_a_key_that_is_known(server: Server) -> None:
    key = load_or_make_key(server.folder / "sites" / "plant-a.key")
    ticket = server.ticket("plant-a", client_keys={"plant-a": public_key_of(key)})
    server.send("plant-a", ticket)
    tree = list_of(server, ticket)
    good = (slot_of(server, ticket) / MANIFEST).read_bytes()
    write_list(server, ticket, tree)
    assert "which is not the key of plant-a" in server.take()["plant-a"].reason
    (slot_of(server, ticket) / MANIFEST).write_bytes(good)
    verdict = server.take()["plant-a"]
    assert (verdict.status, verdict.notes) == ("accepted", ())


def test_too_late(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    late = Ticket(**{**ticket.model_dump(), "expires": ticket.issued})
    taken = server.keys.path / "tickets" / f"{ticket.id}.ticket"
    tree = {name: value for name, value in late.model_dump(mode="json").items() if name != "signature"}
    resigned = signed(tree, "ticket", server.keys.signing)
    taken.write_text(json.dumps(resigned))
    listed = list_of(server, ticket)
    listed["ticket_sha256"] = hashlib.sha256(canonical(resigned)).hexdigest()
    write_list(server, ticket, listed)
    os.utime(slot_of(server, ticket) / MANIFEST, (4e9, 4e9))
    assert "after the ticket had expired" in server.take()["plant-a"].reason


def test_a_foreign_ticket(server: Server, tmp_path: Path) -> None:
    """A ticket of another server, or one that this server never issued, has no place here."""
    other = file_server(tmp_path / "other")
    ticket, _ = other.send("plant-a")
    shutil.copytree(other.folder / "store", server.folder / "store")
    assert server.take() == {}
    # The same list in the place of a ticket that there is.
    own = server.ticket("plant-a")
    shutil.copytree(other.folder / "store" / ticket.slot, server.folder / "store" / own.slot)
    assert "sealed for another recipient" in server.take()["plant-a"].reason


def harm_list(change: Callable[[dict[str, Any]], None], sign: bool = True) -> Callable[[Server, Ticket], None]:
    def harm(server: Server, ticket: Ticket) -> None:
        tree = list_of(server, ticket)
        change(tree)
        write_list(server, ticket, tree, sign=sign)

    return harm


def harm_set(change: Callable[[Path], None]) -> Callable[[Server, Ticket], None]:
    """Send what the client's own tools would not: a data set that was changed after it was written."""

    def harm(server: Server, ticket: Ticket) -> None:
        path = server.folder / "sites" / "hostile.dkds"
        change(path)
        shutil.rmtree(slot_of(server, ticket))
        for state in server.folder.glob("sites/hostile.upload-*"):
            shutil.rmtree(state)
        key = load_or_make_key(server.folder / "sites" / "hostile.key")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(uploading, "require_fits", lambda *_: None)
            patch.setattr(uploading, "_require_room", lambda *_: None)
            uploading.upload(path, ticket, key, to=str(server.folder / "store"))

    return harm


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edited(path: Path) -> None:
        tree = json.loads((path / "manifest.json").read_text())
        change(tree)
        (path / "manifest.json").write_text(json.dumps(tree))
        commit_again(path)

    return edited


def written(**changes: Any) -> Callable[[Path], None]:
    def again(path: Path) -> None:
        shutil.rmtree(path)
        write_small(path, client="hostile", **{"noise": 5, **changes})

    return again


def constant(path: Path) -> None:
    shutil.rmtree(path)
    with pytest.MonkeyPatch.context() as patch:

        class Zeros:
            def integers(self, low: int, high: int, size: Any, dtype: Any = np.int64) -> np.ndarray:
                return np.zeros(size, dtype)

        patch.setattr(small_data_sets.np.random, "default_rng", lambda seed: Zeros())
        write_small(path, client="hostile")


def pieces_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [piece for one in tree["files"] for piece in one["pieces"]]


def flip_piece(server: Server, ticket: Ticket) -> None:
    path = sorted(path for path in slot_of(server, ticket).iterdir() if path.name != MANIFEST)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap_pieces(tree: dict[str, Any]) -> None:
    one, other = tree["files"][1:3]
    one["pieces"], other["pieces"] = other["pieces"], one["pieces"]


def bomb(tree: dict[str, Any]) -> None:
    tree["files"][1]["bytes"] = 2**52
    tree["piece_bytes"] = 2**52


def replace_list(data: bytes) -> Callable[[Server, Ticket], None]:
    def harm(server: Server, ticket: Ticket) -> None:
        (slot_of(server, ticket) / MANIFEST).write_bytes(data)

    return harm


def sealed_list(data: bytes) -> Callable[[Server, Ticket], None]:
    def harm(server: Server, ticket: Ticket) -> None:
        replace_list(bytes(seal(data, server.keys.recipients)))(server, ticket)

    return harm


def sealed_to_others(server: Server, ticket: Ticket) -> None:
    others = make_server_keys(server.folder / "other-keys")
    replace_list(bytes(seal(canonical(list_of(server, ticket)), others.recipients)))(server, ticket)


def update(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tree: tree.update(values)


HOSTILE: dict[str, tuple[Callable[[Server, Ticket], None], str]] = {
    "a flipped bit": (flip_piece, "is not what was signed: it was changed or damaged"),
    "nothing of age": (replace_list(b"hello"), "damaged, or was not sealed with age"),
    "an empty list": (replace_list(b""), "damaged, or was not sealed with age"),
    "sealed rubbish": (sealed_list(b"\x00\xff" * 100), "the list of what was sent is none"),
    "deep JSON": (sealed_list(b"[" * 200_000), "nested too deeply"),
    "many names": (sealed_list(json.dumps({str(i): 0 for i in range(1000)}).encode()), "an object of 1000 names"),
    "for another recipient": (sealed_to_others, "sealed for another recipient"),
    "not signed": (harm_list(update(records=24), sign=False), "signature of the list is not that of the key"),
    "another ticket": (harm_list(update(ticket="0" * 32)), "signed for another ticket"),
    "an edited ticket": (harm_list(update(ticket_sha256="0" * 64)), "ticket was not the one that was issued"),
    "another client": (harm_list(update(client="plant-a")), "it is from plant-a, but the ticket is for hostile"),
    "swapped shards": (harm_list(swap_pieces), "shard-0000[01].safetensors is not what was signed|holds|would be"),
    "a path": (harm_list(lambda tree: tree["files"][1].update(file="../../x")), "files.1.file"),
    "an object elsewhere": (harm_list(lambda tree: pieces_of(tree)[0].update(object="../x.age")), "object"),
    "a bomb": (harm_list(bomb), "pieces|ticket says"),
    "too many images": (harm_list(update(records=10**6)), "but the ticket allows 1,000"),
    "another count": (harm_list(update(records=24)), "another id, client or count than was signed"),
    "long pieces": (harm_list(update(piece_bytes=2 * PIECE)), "pieces for|its pieces are of"),
    "other classes": (
        harm_set(edit(lambda tree: tree.update(class_names=["x", "y", "z"]))),
        "has the classes x, y, z, but the ticket asks for scratch",
    ),
    "another shape": (harm_set(written(image={"shape": [8, 4, 3], "dtype": "uint8"})), "problems|ticket asks"),
    "a label outside": (harm_set(edit(lambda tree: tree.update(class_names=["a"]))), "problems, first: .* has label"),
    "no manifest": (harm_set(edit(lambda tree: tree.update(views="x"))), "problems, first: .*views"),
    "constant images": (harm_set(constant), "25 of 25 images have one value alone"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Two honest clients and a hostile one, before anything is taken."""
    server = file_server(tmp_path_factory.mktemp("made") / "server")
    for client in ("plant-a", "hostile", "plant-b"):
        server.send(client, server.ticket(client, max_bytes=10**5))
    return server


@pytest.fixture
def copied(made: Server, tmp_path: Path) -> Server:
    shutil.copytree(made.folder, tmp_path / "server")
    return Server(tmp_path / "server", str(tmp_path / "server" / "store"), {})


def ticket_for(server: Server, client: str) -> Ticket:
    return next(one for one in server.keys.tickets().values() if one.client == client)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_blocks_nobody(name: str, copied: Server) -> None:
    harm, reason = HOSTILE[name]
    ticket = ticket_for(copied, "hostile")
    harm(copied, ticket)
    verdicts = copied.take()
    assert verdicts["hostile"].status == "refused", verdicts["hostile"]
    assert re.search(reason, verdicts["hostile"].reason), verdicts["hostile"].reason
    assert len(verdicts["hostile"].reason.splitlines()) == 1
    assert [verdicts[one].status for one in ("plant-a", "plant-b")] == ["accepted", "accepted"]
    assert not list(copied.register.into.glob("hostile*"))
    assert not list((copied.register.path / "quarantine").iterdir())


def damage(path: Path, chance: random.Random) -> str:
    """Change a file in one of the ways in which files are changed; says how."""
    data = bytearray(path.read_bytes())
    kind = chance.choice(["flip", "cut", "longer", "zeros", "other", "empty"])
    place = chance.randrange(len(data))
    if kind == "flip":
        data[place] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[place:]
    elif kind == "longer":
        data += chance.randbytes(chance.randrange(1, 100))
    elif kind == "zeros":
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    elif kind == "other":
        data = bytearray(chance.randbytes(len(data)))
    else:
        data.clear()
    if data == path.read_bytes():
        data[-1] ^= 1
    path.write_bytes(data)
    return f"{kind} of {path.name} at {place}"


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_damage_is_refused(count: int, made: Server, tmp_path: Path) -> None:
    chance = random.Random(count)
    ticket = ticket_for(made, "hostile")
    whole = made.folder / "store" / ticket.slot
    for number in range(count):
        server = file_server(tmp_path / str(number))
        shutil.copytree(made.keys.path, server.keys.path, dirs_exist_ok=True)
        for other in server.keys.tickets().values():
            if other.client != "hostile" and not (number == count - 1 and other.client == "plant-a"):
                (server.keys.path / "tickets" / f"{other.id}.ticket").unlink()
        shutil.copytree(whole, server.folder / "store" / ticket.slot)
        if number == count - 1:
            good = ticket_for(made, "plant-a").slot
            shutil.copytree(made.folder / "store" / good, server.folder / "store" / good)
        files = sorted(path for path in (server.folder / "store" / ticket.slot).iterdir() if path.name != REPORT)
        how = damage(chance.choice(files), chance)
        server = Server(server.folder, server.url, {})
        verdicts = server.take()
        assert verdicts["hostile"].status == "refused", how
        assert verdicts["hostile"].reason
        assert not list(server.register.into.glob("hostile*"))
        if number == count - 1:
            assert verdicts["plant-a"].status == "accepted"


def test_duplicates_are_told(server: Server) -> None:
    server.send("plant-a")
    verdict = server.take(Limits(constant=0.0, duplicates=0.0, elsewhere=0.0))["plant-a"]
    assert verdict.status == "accepted"


def test_a_store_that_does_not_answer(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    server.send("plant-b")

    class Deaf(Store):
        def get(self, name: str, limit: int) -> bytes | None:
            if name.startswith(ticket.slot):
                raise StoreError("it does not answer", again=False)
            return super().get(name, limit)

    store = Deaf((server.folder / "store").as_uri(), {})
    verdicts = {one.client: one for one in ingest(store, server.register, server.keys, server.keys.identities())}
    assert (verdicts["plant-a"].status, verdicts["plant-a"].reason) == ("unreachable", "it does not answer")
    assert verdicts["plant-b"].status == "accepted"
    assert server.take()["plant-a"].status == "accepted"


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_point(kills: int, server: Server) -> None:
    for client in ("plant-a", "plant-b", "plant-c"):
        server.send(client)
    command = [sys.executable, HERE / "kills.py", "ingest", server.folder, str(kills), "1", "0.08"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{kills}\n"), ran.stderr
    folders = sorted(server.register.into.glob("*.dkds"))
    assert [folder.name.rpartition("-")[0] for folder in folders] == ["plant-a", "plant-b", "plant-c"]
    assert all(verify(folder).whole for folder in folders)
    assert {one.status for one in server.take().values()} == {"kept"}
    assert not list((server.register.path / "quarantine").iterdir())
    assert sorted(server.register.into.glob("*.dkds")) == folders
