"""Images that lie on the devices, enlarged and encrypted there batch by batch: the same results, to the bit."""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from key_search import found_keys, watched_keys
from small_simulation import compiled_once, config, files_alike, results_alike

from dkjax.experiment.simulation import simulate
from dkjax.input import device_resident as resident
from dkjax.train.trained_model import load_trained

quick = pytest.fixture(scope="module", autouse=True)(compiled_once)

TWO_ROUNDS = {"clients": {"count": 2, "rounds": 2}}


@pytest.fixture(scope="module")
def on_host(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    workdir = tmp_path_factory.mktemp("host")
    return simulate(config(**TWO_ROUNDS), workdir), workdir


@pytest.fixture(scope="module")
def on_devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of it, the copies of keys that were made on the way, and the words of every key."""
    workdir = tmp_path_factory.mktemp("devices")
    made: list[resident.DeviceResident] = []
    with pytest.MonkeyPatch.context() as patch, watched_keys() as used:
        init = resident.DeviceResident.__init__

        def noted(self: resident.DeviceResident, *args: Any) -> None:
            init(self, *args)
            made.append(self)

        patch.setattr(resident.DeviceResident, "__init__", noted)
        results = simulate(config(**TWO_ROUNDS, train={"input": "device"}), workdir)
    return {"results": results, "workdir": workdir, "made": made, "keys": np.concatenate(used)}


def test_the_same_results(on_host: tuple[dict, Path], on_devices: dict) -> None:
    assert results_alike(on_devices["results"]) == results_alike(on_host[0])
    assert files_alike(on_devices["workdir"]) == files_alike(on_host[1])


@pytest.mark.parametrize("arm", ["plain", "disposable"])
def test_the_same_parameters_to_the_bit(arm: str, on_host: tuple[dict, Path], on_devices: dict) -> None:
    folders = (workdir / "arms" / arm / "run-0" for workdir in (on_host[1], on_devices["workdir"]))
    jax.tree.map(np.testing.assert_array_equal, *(load_trained(folder).params for folder in folders))


def test_images_are_as_small_as_they_came(on_devices: dict) -> None:
    """Digits have 8 pixels a side and are trained on at 16."""
    shapes = {one._everything.images.shape[1:] for one in on_devices["made"]}
    assert shapes == {(8, 8, 1)}


def test_copies_of_keys_are_erased(on_devices: dict) -> None:
    copies = [one._everything.image_keys for one in on_devices["made"] if one._everything.image_keys is not None]
    # Two rounds and two or three views of three arms.
    assert len(copies) == 3 * 2 + 2 + 3 + 3 - 3
    assert all(copy.is_deleted() for copy in copies)
    assert all(one._everything.images.is_deleted() for one in on_devices["made"])


def test_no_key_in_any_file(on_devices: dict) -> None:
    words = np.unique(on_devices["keys"], axis=0)
    assert len(words) > 2 * 48
    assert found_keys(on_devices["workdir"], words) == []


@pytest.mark.parametrize(
    "changes",
    [{"augment": {"flip": True, "crop": 2}}, {"store": {"on_disk": True}}, {"data": {"image_size": 4}}],
    ids=["augmented", "on disk", "reduced"],
)
def test_where_images_are_not_enlarged_there(changes: dict[str, Any], tmp_path: Path) -> None:
    changes = {"scheme": {"block_size": 4}, **changes}
    make = functools.partial(config, ("disposable",), **changes)
    host = simulate(make(), tmp_path / "host")
    devices = simulate(make(train={"input": "device"}), tmp_path / "devices")
    assert results_alike(devices) == results_alike(host)
    assert files_alike(tmp_path / "devices") == files_alike(tmp_path / "host")


def test_a_stopped_run_goes_on_in_the_other_way(tmp_path: Path) -> None:
    """Where images lie is no part of what is asked for."""
    simulate(config(("plain",)), tmp_path / "run")
    assert simulate(config(("plain",), train={"input": "device"}), tmp_path / "run")["arms"][0]["name"] == "plain"
