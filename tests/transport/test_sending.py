"""An upload: sealed, resumable, never overwriting, over stores and networks as they are."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flaky import Flaky, often
from sites import KEYS, Server, file_server, moto

from dkjax.errors import ConfigError, DataError
from dkjax.runtime.files import LOCK
from dkjax.transport import pace, upload
from dkjax.transport.journal import Journal
from dkjax.transport.sealed_set import SealedPiece
from dkjax.transport.signature import load_or_make_key
from dkjax.transport.store import MANIFEST, Store
from dkjax.transport.store_errors import StoreError
from dkjax.transport.ticket import Ticket

HERE = Path(__file__).parent


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return file_server(tmp_path / "server")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch, moto("inbox") as options:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield options


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace.random, "uniform", lambda low, high: high / 100)


def ledger(server: Server) -> list[dict[str, Any]]:
    (path,) = server.folder.glob("sites/*.upload-*/ledger.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def require_sent_once(events: list[dict[str, Any]]) -> None:
    """No object was sent after it had been acknowledged, and every one is there."""
    done = Counter(event["object"] for event in events if event["event"] in ("sent", "found"))
    assert set(done.values()) == {1}
    acknowledged: set[str] = set()
    for event in events:
        if event["event"] in ("sent", "found"):
            assert event["object"] not in acknowledged
            acknowledged.add(event["object"])


def test_it_arrives(server: Server) -> None:
    ticket, sent = server.send("plant-a")
    events = ledger(server)
    assert not sent.already
    assert (sent.records, sent.objects) == (25, 7)  # pieces of 1 KiB
    assert sum(event["bytes"] for event in events if event["event"] == "sent") == sent.sent_bytes > sent.bytes
    for event in events:
        if event["event"] == "sent":  # as in every ledger
            assert [*event] == ["time", "event", "client", "object", "bytes", "seconds", "cpu_seconds"]
            assert event["client"] == "plant-a"
            assert event["cpu_seconds"] >= 0 and 0 <= event["seconds"] <= sent.seconds
    names = {path.name: path for path in (server.folder / "store" / ticket.slot).iterdir()}
    assert MANIFEST in names
    for name, path in names.items():
        assert name == MANIFEST or hashlib.sha256(path.read_bytes()).hexdigest() == name.removesuffix(".age")
    verdict = server.take()["plant-a"]
    assert verdict.status == "accepted"
    assert verdict.key == sent.fingerprint
    assert verdict.folder is not None
    original = server.data_set("plant-a")
    assert {path.name for path in Path(verdict.folder).iterdir()} == {path.name for path in original.iterdir()}
    for path in original.iterdir():
        assert (Path(verdict.folder) / path.name).read_bytes() == path.read_bytes()


def test_the_same_again_sends_nothing(server: Server) -> None:
    ticket, first = server.send("plant-a")
    _, again = server.send("plant-a", ticket)
    assert (again.already, again.sent_bytes, again.bytes) == (True, 0, first.bytes)
    require_sent_once(ledger(server))


def test_the_store_sees_nothing(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    stored = b"".join(path.read_bytes() for path in (server.folder / "store").rglob("*") if path.is_file())
    names = "".join(str(path.relative_to(server.folder)) for path in (server.folder / "store").rglob("*"))
    for path in server.data_set("plant-a").iterdir():
        data = path.read_bytes()
        assert not any(data[place : place + 16] in stored for place in range(0, len(data) - 15, 16))
    for word in ("plant-a", "dent", ticket.id):
        assert word.encode() not in stored
        assert word not in names


def test_a_used_ticket(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    (state,) = server.folder.glob("sites/*.upload-*")
    for path in state.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="the ticket was used already"):
        server.send("plant-a", ticket)


def test_nothing_is_overwritten(server: Server) -> None:
    ticket = server.ticket("plant-a")
    slot = server.folder / "store" / ticket.slot
    slot.mkdir(parents=True)

    class Rival(Store):
        """Somebody puts a manifest there while the client is at work."""

        def put_new(self, name: str, data: bytes | memoryview) -> bool:
            (slot / MANIFEST).write_bytes(b"somebody else's")
            return super().put_new(name, data)

    def open_writer(*_: object) -> Store:
        return Rival((server.folder / "store").as_uri(), {})

    with pytest.raises(DataError, match="holds another data set for it"):
        server.send("plant-a", ticket, open_writer=open_writer)
    assert (slot / MANIFEST).read_bytes() == b"somebody else's"


def test_what_the_ticket_does_not_allow(server: Server) -> None:
    key = load_or_make_key(server.folder / "k.key")
    path = server.data_set("plant-a")
    ticket = server.ticket("plant-a")
    with pytest.raises(DataError, match="is from plant-a, but the ticket is for plant-b"):
        upload.upload(path, server.ticket("plant-b"), key)
    with pytest.raises(DataError, match=r"would be 6,\d+ bytes when sealed, but the ticket allows 5,000"):
        upload.upload(path, server.ticket("plant-a", max_bytes=5000), key)
    with pytest.raises(DataError, match="has 25 images, but the ticket allows 24"):
        upload.upload(path, server.ticket("plant-a", max_images=24), key)
    with pytest.raises(DataError, match="the ticket is for another key of plant-a"):
        upload.upload(path, server.ticket("plant-a", client_keys={"plant-a": "ab" * 32}), key)
    other = server.ticket("plant-a").recipe.model_copy(update={"class_names": ["dent", "scratch", "whole"]})
    with pytest.raises(DataError, match="has the classes scratch, dent, whole, but the ticket asks for dent"):
        upload.upload(path, server.ticket("plant-a", recipe=other), key)
    late = ticket.model_copy(update={"expires": "2020-01-01T00:00:00Z"})
    with pytest.raises(DataError, match="the ticket expired at 2020"):
        upload.upload(path, late, key)
    assert not list((server.folder / "sites").glob("*.upload-*"))


def test_what_is_no_whole_data_set(server: Server) -> None:
    key = load_or_make_key(server.folder / "k.key")
    ticket, path = server.ticket("plant-a"), server.data_set("plant-a")
    shard = path / "shard-00001.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match=r"shard-00001.safetensors is damaged, so nothing is accepted"):
        upload.upload(path, ticket, key)
    assert not (server.folder / "store" / ticket.slot / MANIFEST).exists()
    shard.write_bytes(data[:-1])
    with pytest.raises(DataError, match="is missing, or has another length"):
        upload.upload(path, ticket, key)
    (path / "COMMIT").write_text("0" * 64 + "\n")
    with pytest.raises(DataError, match="COMMIT does not belong to the manifest"):
        upload.upload(path, ticket, key)
    for wrong in (server.folder, server.folder / "nowhere"):
        with pytest.raises(DataError, match="is no finished data set"):
            upload.upload(wrong, ticket, key)


def test_a_clock_that_is_wrong(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = server.ticket("plant-a")
    real = upload.now
    monkeypatch.setattr(upload, "now", lambda: real() + datetime.timedelta(hours=12))
    _, sent = server.send("plant-a", ticket)
    (note,) = sent.notes
    assert note.startswith("this machine's clock is 12:00:00 ahead of the store's")
    monkeypatch.setattr(upload, "now", lambda: real() - datetime.timedelta(days=1))
    with pytest.raises(DataError, match="one of the two clocks is wrong; set it"):
        server.send("plant-a", ticket)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_through_a_bad_network(seed: int, tmp_path: Path, s3: dict[str, str]) -> None:
    with Flaky(s3["endpoint"], often(seed)) as proxy:
        server = Server(tmp_path, f"s3://inbox/{tmp_path.name}", {**s3, "endpoint": proxy.endpoint})
        server.send("plant-a")
        events = ledger(server)
        require_sent_once(events)
        assert any(event["event"] == "failed" for event in events)
        acknowledged = Counter(name for name, _ in proxy.puts)
        assert set(acknowledged.values()) == {1}
    server.options["endpoint"] = s3["endpoint"]
    assert server.take()["plant-a"].status == "accepted"


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(("status", "words"), [("403", r"refuses access \(403\)"), ("507", "is full")])
def test_a_store_that_does_not_take_it(status: str, words: str, tmp_path: Path, s3: dict[str, str]) -> None:
    count = iter(range(1000))

    def fault(method: str, *_: Any) -> str | None:
        return status if method == "PUT" and next(count) >= 2 else None

    options = dict(s3)
    with Flaky(s3["endpoint"], fault) as proxy:
        options["endpoint"] = proxy.endpoint
        server = Server(tmp_path, f"s3://inbox/{tmp_path.name}", options)
        ticket = server.ticket("plant-a")
        with pytest.raises(StoreError, match=words):
            server.send("plant-a", ticket, threads=1)
        assert len(proxy.puts) == 2
        count = iter([0] * 1000)
        server.send("plant-a", ticket)
        assert len({name for name, _ in proxy.puts}) == len(proxy.puts)
    require_sent_once(ledger(server))


def test_presigned_urls(tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, f"s3://inbox/{tmp_path.name}", s3)
    ticket = server.ticket("plant-a", presign=True, max_bytes=10**4)
    assert len(ticket.place.presigned) >= 8
    # As at a site without an account.
    for name in KEYS:
        monkeypatch.delenv(name)
    _, sent = server.send("plant-a", ticket)
    _, again = server.send("plant-a", ticket)
    assert (again.already, again.sent_bytes) == (True, 0)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert server.take()["plant-a"].status == "accepted"
    assert sent.objects == 7
    few = server.ticket("plant-b", presign=True, max_bytes=10**4)
    few = few.model_copy(update={"place": few.place.model_copy(update={"presigned": few.place.presigned[:3]})})
    with pytest.raises(DataError, match="has too few presigned URLs"):
        server.send("plant-b", few)


def kill(what: str, server: Server, kills: int, seed: int, longest: float) -> int:
    command = [sys.executable, HERE / "kills.py", what, server.folder, str(kills), str(seed), str(longest)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_point(kills: int, server: Server) -> None:
    ticket = server.ticket("plant-a")
    server.data_set("plant-a", records=25 if kills < 10 else 400)
    assert kill("upload", server, kills, seed=kills, longest=0.06 if kills < 10 else 0.3) == kills
    events = ledger(server)
    require_sent_once(events)
    # Sealed once, or sealed again where the bytes had not been kept yet: then they had not been sent, either.
    sealed = Counter(json.dumps(event["piece"]) for event in events if event["event"] == "sealed")
    assert set(sealed.values()) == {1}
    stored = {path.name for path in (server.folder / "store" / ticket.slot).glob("*.age")} - {MANIFEST}
    assert stored == {
        event["object"] for event in events if event["event"] == "sealed" and event["piece"] != "manifest"
    }
    assert server.take()["plant-a"].status == "accepted"


def stopped_by_a_full_store(server: Server, ticket: Ticket) -> Path:
    """Upload until the store refuses, and return the folder of what is kept until then."""
    key = load_or_make_key(server.folder / "sites" / "plant-a.key")

    sealed = threading.Barrier(2)

    class Full(Store):
        def put_new(self, name: str, data: bytes | memoryview) -> bool:
            with contextlib.suppress(threading.BrokenBarrierError):  # two pieces are sealed, be it one after the other
                sealed.wait(10)
            sealed.abort()
            raise StoreError("no", again=False)

    def open_writer(*_: object) -> Store:
        return Full((server.folder / "store").as_uri(), {})

    with pytest.raises(StoreError):
        upload.upload(server.data_set("plant-a"), ticket, key, open_writer=open_writer)
    (state,) = server.folder.glob("sites/*.upload-*")
    return state


def test_a_torn_ledger_and_lost_seeds(server: Server) -> None:
    ticket = server.ticket("plant-a")
    state = stopped_by_a_full_store(server, ticket)
    seeds = state / "seeds.jsonl"
    assert seeds.stat().st_mode & 0o777 == 0o600
    first, *others = seeds.read_bytes().splitlines(keepends=True)
    seeds.write_bytes(b"".join([first, *others])[:-5])
    with open(state / "ledger.jsonl", "a") as file:
        file.write('{"event": "sea')
    _, sent = server.send("plant-a", ticket)
    assert server.take()["plant-a"].status == "accepted"
    assert sent.objects == 7
    # What is left does not open anything that was sent.
    assert {path.name for path in state.iterdir()} == {"ledger.jsonl", LOCK}


def test_what_follows_a_torn_seed_is_kept(tmp_path: Path) -> None:
    def piece(number: int) -> SealedPiece:
        return SealedPiece(object=f"{number}.age", sha256=f"{number:064}", bytes=1)

    for number in range(3):
        journal = Journal(tmp_path / "state", {"slot": "a"}, "plant-a")
        assert set(journal.pieces) == set(journal.seeds) == {(0, earlier) for earlier in range(number) if earlier != 0}
        journal.keep((0, number), piece(number), bytes(32))
        journal.close()
        if number == 0:
            seeds = tmp_path / "state" / "seeds.jsonl"
            seeds.write_bytes(seeds.read_bytes()[:-5])


def test_what_changed_on_the_way_is_not_sent(server: Server) -> None:
    ticket = server.ticket("plant-a")
    stopped_by_a_full_store(server, ticket)
    fixed = {tuple(event["piece"]): event["object"] for event in ledger(server) if event["event"] == "sealed"}
    number, place = next(place for place in fixed if place[0] > 0)
    shard = server.folder / "sites" / "plant-a.dkds" / f"shard-{number - 1:05d}.safetensors"
    data = bytearray(shard.read_bytes())
    data[place * ticket.piece_bytes] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=f"{shard.name} (has changed since its upload began|is damaged)"):
        server.send("plant-a", ticket)
    assert not list((server.folder / "store").rglob(fixed[number, place]))
    data[place * ticket.piece_bytes] ^= 1
    shard.write_bytes(data)
    server.send("plant-a", ticket)
    assert list((server.folder / "store").rglob(fixed[number, place]))
    assert server.take()["plant-a"].status == "accepted"


def test_a_ledger_of_something_else(server: Server, tmp_path: Path) -> None:
    Journal(tmp_path / "state", {"slot": "a"}, "plant-a").close()
    with pytest.raises(DataError, match="belongs to another upload"):
        Journal(tmp_path / "state", {"slot": "b"}, "plant-a")


def test_stopped_while_the_store_does_not_answer(server: Server) -> None:
    ticket = server.ticket("plant-a")
    server.data_set("plant-a")
    (server.folder / "a.ticket").write_bytes((server.keys.path / "tickets" / f"{ticket.id}.ticket").read_bytes())
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        env = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        command = [sys.executable, "-m", "dkjax", "upload", "sites/plant-a.dkds", "--ticket", "a.ticket", "--key", "k"]
        command += ["--to", "s3://inbox/a"]
        with subprocess.Popen(command, cwd=server.folder, env=env, stderr=subprocess.PIPE, text=True) as sending:
            deaf.settimeout(60)
            connection, _ = deaf.accept()
            sending.send_signal(signal.SIGINT)
            _, said = sending.communicate(timeout=20)
            connection.close()
    assert (sending.returncode, said) == (
        75,
        "dkjax: stopped; what was finished is kept, and the same command goes on\n",
    )


def test_one_at_a_time(server: Server) -> None:
    ticket = server.ticket("plant-a")

    class Second(Store):
        def put_new(self, name: str, data: bytes | memoryview) -> bool:
            with pytest.raises(ConfigError, match="another process is working in"):
                server.send("plant-a", ticket)
            return super().put_new(name, data)

    server.send("plant-a", ticket, open_writer=lambda *_: Second((server.folder / "store").as_uri(), {}))
    assert dataclasses.is_dataclass(server)
