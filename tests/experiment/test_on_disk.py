"""A simulation's uploads on disk: the same records as in memory, in data sets that any server could read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dkjax import keys
from dkjax.cipher import schemes
from dkjax.client.upload import Client, Uploader, encrypted_now, upload
from dkjax.config import SimulationConfig, parse_config
from dkjax.dkds import open_data_set
from dkjax.experiment.arms.kind import Arm, ArmTask
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.on_disk import upload_to

SCHEME = schemes.disposable(4, fixed_blocks=1)
CLASSES = ("a", "b", "c")


def made_up(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return {"image": images, "label": rng.integers(0, 3, count, dtype=np.int32)}


CLIENTS = (Client("client-1", made_up(9, 1)), Client("client-2", made_up(4, 2)))


def config(kind: str, **key_settings: Any) -> SimulationConfig:
    return parse_config(
        {
            "data": {"source": "digits"},
            "keys": key_settings or {"mode": "reproducible", "seed": 4},
            "store": {"shard_images": 4, "on_disk": True},
            "arms": [{"name": kind}],
        }
    )


def arm(kind: str) -> Arm:
    return Arm(kind, arm_kind(kind), SCHEME if arm_kind(kind).encrypted else None)


def uploads(kind: str, uploader: Uploader, rounds: int = 1) -> list[Any]:
    ratchet = keys.reproducible(4)
    task = ArmTask(arm(kind), CLIENTS, made_up(3, 3), ratchet, rounds, uploader, encrypted_now, None, "all", None)
    return [sent for this_round in arm_kind(kind).rounds(task) for sent in this_round.uploads]


def uploader_to(folder: Path, kind: str, run: int = 0, **key_settings: Any) -> Uploader:
    return upload_to(folder, config(kind, **key_settings), arm(kind), run, CLASSES)


@pytest.mark.parametrize("kind", ["disposable", "client_key", "shared_key"])
def test_the_same_records_as_in_memory(kind: str, tmp_path: Path) -> None:
    on_disk = uploads(kind, uploader_to(tmp_path, kind), rounds=2)
    in_memory = uploads(kind, upload, rounds=2)
    for one, other in zip(on_disk, in_memory, strict=True):
        assert (one.client, one.round, one.num_bytes) == (other.client, other.round, other.num_bytes)
        for name in ("image", "label"):
            np.testing.assert_array_equal(one.pool[:][name], other.pool[:][name])
    assert [len(sent.pool.pieces) for sent in on_disk] == [3, 1, 3, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"client-{client}-round-{number}.dkds" for client in (1, 2) for number in (1, 2)
    ]


def test_plain_images_stay_in_memory(tmp_path: Path) -> None:
    for sent, client in zip(uploads("plain", uploader_to(tmp_path, "plain")), CLIENTS, strict=True):
        np.testing.assert_array_equal(sent.pool[:]["image"], client.records["image"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["disposable", "client_key", "shared_key"])
def test_manifest(kind: str, tmp_path: Path) -> None:
    uploads(kind, uploader_to(tmp_path, kind))
    manifest = open_data_set(tmp_path / "client-2-round-1.dkds").manifest
    assert (manifest.client, manifest.records, manifest.class_names) == ("client-2", 4, list(CLASSES))
    assert (manifest.keys, manifest.key_sharing, manifest.prng) == (
        "reproducible",
        arm_kind(kind).key_sharing,
        "chacha20",
    )
    assert manifest.scheme.scheme() == SCHEME
    assert (manifest.image_shape, manifest.views, manifest.part.of) == ((8, 8, 1), 1, 1)


def test_images_are_mapped(tmp_path: Path) -> None:
    sent = uploads("disposable", uploader_to(tmp_path, "disposable"))[0]
    assert sent.pool.files
    maps = Path("/proc/self/maps").read_text()
    assert all(str(file.path) in maps for file in sent.pool.files)
    for piece in sent.pool.pieces:
        address = piece["image"].ctypes.data
        areas = [line.split(maxsplit=5) for line in maps.splitlines() if ".safetensors" in line]
        spans = [[int(edge, 16) for edge in area[0].split("-")] for area in areas]
        assert any(begin <= address < end for begin, end in spans)


def test_ids_of_reproducible_keys_repeat_and_others_do_not(tmp_path: Path) -> None:
    def ids(name: str, run: int = 0, **key_settings: Any) -> list[str]:
        uploads("disposable", uploader_to(tmp_path / name, "disposable", run, **key_settings))
        return [open_data_set(path).manifest.id for path in sorted((tmp_path / name).iterdir())]

    first = ids("first")
    assert ids("again") == first
    drawn = {*first, *ids("next run", run=1), *ids("one", mode="disposable"), *ids("other", mode="disposable")}
    assert len(drawn) == 8
