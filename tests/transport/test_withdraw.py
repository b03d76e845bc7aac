"""A client takes its data back."""

import shutil
from pathlib import Path

import pytest
from sites import Server, file_server

from dkjax.errors import DataError
from dkjax.runtime.files import write_json
from dkjax.transport.withdraw import withdraw


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return file_server(tmp_path / "server")


def test_what_was_withdrawn_does_not_return(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    server.send("plant-b")
    server.take()
    done = withdraw("plant-a", server.register, server.keys, None, [])
    assert [one.client for one in done.data_sets] == ["plant-a"]
    assert (done.tickets, done.objects, done.models) == (1, 0, ())
    assert [path.name.rpartition("-")[0] for path in server.register.into.glob("*.dkds")] == ["plant-b"]
    # Its objects are still in the store, and under its ticket nothing is taken any more.
    assert (server.folder / "store" / ticket.slot).is_dir()
    assert list(server.take()) == ["plant-b"]
    # Nor under a new ticket.
    again, _ = server.send("plant-a")
    verdict = server.take()["plant-a"]
    assert (verdict.status, verdict.reason) == (
        "refused",
        "this data set was withdrawn by plant-a, and does not return",
    )
    done = withdraw("plant-a", server.register, server.keys, server.store, [])
    assert done.objects == 2 * (7 + 1) + 2  # with the reports
    assert not list((server.folder / "store" / again.slot).glob("*"))


def test_a_copy_of_the_ticket_does_not_help(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    server.take()
    kept = server.keys.path / "tickets" / f"{ticket.id}.ticket"
    data = kept.read_bytes()
    withdraw("plant-a", server.register, server.keys, None, [])
    kept.write_bytes(data)
    assert server.take()["plant-a"].status == "withdrawn"


def test_models_are_listed(server: Server, tmp_path: Path) -> None:
    server.send("plant-a")
    server.send("plant-b")
    verdicts = server.take()
    runs = tmp_path / "runs"
    for name, client in (("one", "plant-a"), ("two", "plant-b")):
        data_sets = [{"client": client, "id": verdicts[client].data_set}]
        (runs / name).mkdir(parents=True)
        write_json(runs / name / "config.json", {"config": {}, "data_sets": data_sets})
    (runs / "three" / "arms").mkdir(parents=True)
    provenance = {"data_sets": [{"client": "renamed", "id": verdicts["plant-a"].data_set}]}
    write_json(runs / "three" / "arms" / "model.json", {"provenance": provenance})
    for name, text in (("four", "{"), ("five", "[]"), ("six", '{"data_sets": 3, "provenance": []}')):
        (runs / name).mkdir()
        (runs / name / "config.json").write_text(text)
    done = withdraw("plant-a", server.register, server.keys, None, [runs])
    assert [path.relative_to(runs).as_posix() for path in done.models] == ["one", "three/arms"]
    assert done.unreadable == (runs / "four" / "config.json",)


def test_nobody(server: Server) -> None:
    server.send("plant-a")
    server.take()
    with pytest.raises(DataError, match=r"nothing of plant-b is in .*; there is plant-a"):
        withdraw("plant-b", server.register, server.keys, None, [])


def test_before_anything_was_taken(server: Server) -> None:
    ticket, _ = server.send("plant-a")
    done = withdraw("plant-a", server.register, server.keys, server.store, [])
    assert (done.data_sets, done.tickets, done.objects) == ((), 1, 8)
    assert server.take() == {}
    assert not list((server.folder / "store" / ticket.slot).glob("*"))


def test_stopped_half_way(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.send("plant-a")
    server.take()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            withdraw("plant-a", server.register, server.keys, None, [])
    assert server.take()["plant-a"].status in ("withdrawn", "kept")
    withdraw("plant-a", server.register, server.keys, None, [])
    assert not list(server.register.into.glob("*.dkds"))
    assert server.take() == {}
