"""A packed data set on its way: its packed bytes are sent, and the server has what it would have had."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sites import RECIPE, Server, file_server
from small_data_sets import flip

from dkjax import client, schemes
from dkjax.dkds import open_data_set
from dkjax.dkds.convert import convert_data_set
from dkjax.errors import DataError
from dkjax.transport import sealed_set
from dkjax.transport import upload as uploading
from dkjax.transport.sealed_set import open_local
from dkjax.transport.ticket import Recipe, Ticket

SORTED = Recipe(
    scheme="sorted_blocks",
    parameters={"block_size": 2, "fixed_blocks": 0},
    image_shape=RECIPE.image_shape,
    class_names=RECIPE.class_names,
)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server, and a site that has a packed data set."""
    server = file_server(tmp_path / "server")
    path = server.folder / "sites/plant-a.dkds"
    path.parent.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (50, *RECIPE.image_shape), np.uint8)
    names = list(RECIPE.class_names)
    scheme = schemes.sorted_blocks(2)
    client.encrypt(images, np.arange(50) % 3, scheme, client="plant-a", class_names=names, out=path, packed=True)
    return server


def ticket_of(server: Server, **changes: object) -> Ticket:
    return server.ticket("plant-a", **{"recipe": SORTED, **changes})


def test_the_packed_bytes_are_sent_and_unpacked_once(server: Server, tmp_path: Path) -> None:
    path = server.data_set("plant-a")
    local = open_local(path)
    sizes = {file.name: file.stat().st_size for file in path.iterdir() if file.name != "COMMIT"}
    assert {name: size for name, size, _ in local.files} == sizes
    _, sent = server.send("plant-a", ticket_of(server))
    assert sent.records == 50
    verdict = server.take()["plant-a"]
    assert verdict.status == "accepted", verdict.reason
    convert_data_set(path, "dkds", tmp_path / "raw.dkds")
    assert verdict.folder is not None
    for file in (tmp_path / "raw.dkds").iterdir():
        assert (Path(verdict.folder) / file.name).read_bytes() == file.read_bytes()
    assert len(open_data_set(Path(verdict.folder))) == 50
    assert server.take()["plant-a"].status == "kept"


def test_damage_is_noticed_at_the_client(server: Server) -> None:
    path = server.data_set("plant-a")
    flip(path / "shard-00000.dkpack", 300)
    with pytest.raises(DataError, match=r"shard-00000\.dkpack is damaged \(.*\), so nothing is sent: copy it again"):
        server.send("plant-a", ticket_of(server))
    (path / "shard-00000.dkpack").unlink()
    (path / "shard-00001.dkpack").touch()
    with pytest.raises(DataError, match=r"shard-00000\.dkpack is missing: copy it again"):
        server.send("plant-a", ticket_of(server))
    assert not (server.folder / "store").exists()


def unchecked(path: Path) -> sealed_set.LocalSet:
    """What a client of its own would send: whatever the files hold."""
    found = open_local(path.with_name("good.dkds"))
    files = [(name, path / name) for name, _, _ in found.files]
    told = [(name, file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()) for name, file in files]
    return dataclasses.replace(found, path=path, files=tuple(told))


@pytest.mark.parametrize("damage", ["bytes", "other records", "more shards"])
def test_damage_is_refused_by_the_server(damage: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = server.data_set("plant-a")
    shutil.copytree(path, path.with_name("good.dkds"))
    file = path / "shard-00000.dkpack"
    if damage == "bytes":
        flip(file, 300)
    elif damage == "other records":
        images = np.zeros((50, *RECIPE.image_shape), np.uint8)
        other = path.with_name("other.dkds")
        names = list(RECIPE.class_names)
        client.encrypt(images, [0] * 50, schemes.sorted_blocks(2), class_names=names, out=other, packed=True)
        shutil.copyfile(other / file.name, file)
    else:
        tree = json.loads((path / "manifest.json").read_text())
        more = {**tree["shards"][0], "file": "shard-00001.safetensors", "sha256": "0" * 64, "records": 0}
        tree["shards"].append(more)
        (path / "manifest.json").write_text(json.dumps(tree))
    monkeypatch.setattr(uploading, "open_local", unchecked)
    server.send("plant-a", ticket_of(server))
    verdict = server.take()["plant-a"]
    said = {
        "bytes": "shard-00000.dkpack is damaged (",
        "other records": "shard-00000.dkpack is damaged (its records are not those of the manifest)",
        "more shards": "its manifest names 2 shards, but 1 were signed",
    }[damage]
    assert verdict.status == "refused"
    assert verdict.reason.startswith(said)
    assert not list((server.folder / "data").glob("*.dkds"))


def test_no_more_is_unpacked_than_the_ticket_allows(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by what was signed, and by the manifest where another count was signed."""
    ticket = ticket_of(server, max_images=49)
    with pytest.raises(DataError, match="50 images"):
        server.send("plant-a", ticket)
    monkeypatch.setattr(uploading, "require_fits", lambda *given: None)
    monkeypatch.setattr(uploading, "open_local", lambda path: dataclasses.replace(open_local(path), records=49))
    server.send("plant-a", ticket)
    monkeypatch.setattr("dkjax.transport.ingest.unpack_in_place", None)
    verdict = server.take()["plant-a"]
    assert verdict.status == "refused"
    assert "50 images" in verdict.reason
