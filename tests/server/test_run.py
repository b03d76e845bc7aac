"""The server from data sets to a tested model: the same as the simulation's, and never from damaged data."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from made_data_sets import digits, encrypted

import dkjax
from dkjax.config import ServerConfig, config_hash, parse_as, parse_config, resolved
from dkjax.dkds import layout, open_data_set
from dkjax.errors import ConfigError, DamagedDataSetError, DataError
from dkjax.experiment.simulation import simulate
from dkjax.models.pretrained import export_params, load_pretrained
from dkjax.runtime.files import read_json, write_json
from dkjax.runtime.ledger import read_ledger
from dkjax.server.evaluate import evaluate_workdir
from dkjax.server.run import train_on_data_sets
from dkjax.train.metrics import Progress
from dkjax.train.observer import Observer
from dkjax.train.trained_model import load_trained

MODEL = {"variant": "mu", "width": 16, "heads": 2, "mlp_dim": 16}
TRAIN = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 2, "log_every": 3}


def config(**train: Any) -> ServerConfig:
    return parse_as(ServerConfig, {"model": MODEL, "train": TRAIN | train, "data": {"test_images": 20}})


class Recorder(Observer):
    def __init__(self, stop: bool = False) -> None:
        self.heard: list[str] = []
        self._stop = stop

    def note(self, text: str) -> None:
        self.heard.append(f"note: {text}")

    def verifying(self, done: int, total: int) -> None:
        if done == total:
            self.heard.append("verified")

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        self.heard.append(f"{arm} {total_steps}")

    def training(self, progress: object) -> None:
        if self._stop:
            raise KeyboardInterrupt

    def run_kept(self, arm: str, run: int) -> None:
        self.heard.append("kept")


def same_params(one: Path, other: Path) -> bool:
    pair = (load_trained(folder).params for folder in (one, other))
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, *pair)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    return encrypted(folder / "a.dkds", digits(30)), encrypted(folder / "b.dkds", digits(18), fixed_blocks=1)


@pytest.fixture(scope="module")
def served(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    workdir, observer = tmp_path_factory.mktemp("served") / "run", Recorder()
    fresh = encrypted(workdir.parent / "fresh.dkds", digits(15, split="test"), fixed_pixels=2)
    results = train_on_data_sets(config(), data, workdir, tests=("digits", str(fresh)), observer=observer)
    return {"workdir": workdir, "results": results, "heard": observer.heard, "fresh": str(fresh)}


def test_results(served: dict, data: tuple[Path, Path]) -> None:
    results, workdir = served["results"], served["workdir"]
    assert read_json(workdir / "results.json") == results
    assert (results["config"], results["config_hash"]) == (resolved(config()), config_hash(config()))
    assert {"python", "dkjax", "jax"} < results["versions"].keys()
    assert results["train"].keys() == {"steps", "loss", "accuracy"}
    assert [point["step"] for point in results["curve"]] == [6, 12]
    assert results["test_accuracy"] == results["curve"][-1]["test_accuracy"]
    assert results["test_accuracy"].keys() == {"digits", served["fresh"]}
    assert results["test_sets"] == [{"name": "digits", "images": 20}, {"name": served["fresh"], "images": 15}]
    assert results["data"]["train_images"] == 48
    for client, path, images in zip(results["clients"], data, (30, 18), strict=True):
        assert (client["name"], client["images"], sum(client["images_per_class"])) == (path.stem, images, images)
        assert client["upload_bytes"] == images * (8 * 8 + 4)
        (one,) = client["data_sets"]
        assert (one["id"], one["keys"]) == (open_data_set(path).manifest.id, "reproducible")
        assert (one["scheme"], one["key_sharing"]) == ("disposable", "per_image")
    assert served["heard"][0] == "verified"
    assert served["heard"][1].startswith("note: keys of a, b are reproducible")
    assert served["heard"][2:] == ["training 12"]
    names = {path.name for path in workdir.iterdir()} - {".lock"}
    logs = {"ledger.jsonl", "metrics.jsonl"}
    assert names == {"checkpoints", "config.json", "model.json", "params", "results.json", *logs}
    held = json.loads((workdir / "config.json").read_text())
    assert [one["client"] for one in held["data_sets"]] == ["a", "b"]


def test_the_ledger(served: dict) -> None:
    workdir = served["workdir"]
    (event,) = read_ledger(workdir / "ledger.jsonl")
    files = [path for path in workdir.rglob("*") if path.is_file() and path.name not in ("ledger.jsonl", ".lock")]
    kept_before = {"config.json"}  # written before the training begins
    assert event["bytes"] == sum(path.stat().st_size for path in files if path.name not in kept_before)
    assert (event["event"], event["client"]) == ("written", "server")
    assert event["seconds"] >= served["results"]["seconds"] - 0.01 and event["cpu_seconds"] > 0


def test_the_model_names_what_it_was_made_from(served: dict, data: tuple[Path, Path]) -> None:
    provenance = json.loads((served["workdir"] / "model.json").read_text())["provenance"]
    assert provenance["code"]["dkjax"] == dkjax.__version__
    assert re.fullmatch("[0-9a-f]{64}", provenance["code"]["sha256"])
    for one, path, images, fixed in zip(provenance["data_sets"], data, (30, 18), (0, 1), strict=True):
        manifest = (path / "manifest.json").read_bytes()
        assert one["sha256"] == hashlib.sha256(manifest).hexdigest()
        assert (one["client"], one["id"], one["records"]) == (path.stem, json.loads(manifest)["id"], images)
        assert (one["scheme"], one["parameters"]["fixed_blocks"], one["keys"]) == ("disposable", fixed, "reproducible")
    assert [*load_trained(served["workdir"]).made_from] == provenance["data_sets"]


def test_equals_the_simulation(tmp_path: Path) -> None:
    """The server of a simulation and the real one are the same code on the same records."""
    settings = parse_config(
        {
            "data": {"source": "digits", "image_size": 16, "train_images": 60, "test_images": 10},
            "clients": {"count": 3},
            "keys": {"mode": "reproducible", "seed": 1},
            "scheme": {"block_size": 8, "fixed_blocks": 2},
            "store": {"on_disk": True, "shard_images": 7},
            "model": MODEL,
            "train": TRAIN,
            "arms": [{"name": "disposable"}],
        }
    )
    simulated = simulate(settings, tmp_path / "simulated")
    run = tmp_path / "simulated" / "arms" / "disposable" / "run-0"
    results = train_on_data_sets(config(), sorted((run / "uploads").iterdir()), tmp_path / "served", tests=("digits",))
    trained = load_trained(tmp_path / "served")
    shutil.copytree(run / "params", tmp_path / "as" / "params")
    own = read_json(run / "model.json")["sha256"]
    write_json(tmp_path / "as" / "model.json", read_json(tmp_path / "served" / "model.json") | {"sha256": own})
    assert same_params(tmp_path / "served", tmp_path / "as")
    assert trained.model.patch_size == 8
    assert results["test_accuracy"].keys() == {"digits"}
    assert sum(client["upload_bytes"] for client in results["clients"]) == simulated["arms"][0]["upload_bytes"]


def test_any_order_of_names(served: dict, data: tuple[Path, Path], tmp_path: Path) -> None:
    train_on_data_sets(config(), data[::-1], tmp_path)
    assert same_params(served["workdir"], tmp_path)


def test_weights(data: tuple[Path, Path], served: dict, tmp_path: Path) -> None:
    train_on_data_sets(config(client_weights={"a": 1.0, "b": 2.0}), data, tmp_path / "run")
    assert not same_params(served["workdir"], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"train\.client_weights: there is no client 'c'"):
        train_on_data_sets(config(client_weights={"a": 1.0, "c": 2.0}), data, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_finished_training_is_kept(served: dict, data: tuple[Path, Path]) -> None:
    observer = Recorder()
    tests = ("digits", served["fresh"])
    assert train_on_data_sets(config(), data, served["workdir"], tests=tests, observer=observer) == served["results"]
    assert observer.heard == ["kept"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"config": config(epochs=3)}, r"train\.epochs"),
        ({"take": slice(1)}, "data_sets"),
        ({"tests": ("digits",)}, "test_sets"),
    ],
)
def test_another_run_is_refused(change: dict, place: str, served: dict, data: tuple[Path, Path]) -> None:
    tests = change.get("tests", ("digits", served["fresh"]))
    with pytest.raises(ConfigError, match=f"holds another run, which differs in {place}: choose another --workdir"):
        train_on_data_sets(
            change.get("config", config()), data[change.get("take", slice(None))], served["workdir"], tests=tests
        )


def test_a_training_that_broke_off_begins_anew(served: dict, data: tuple[Path, Path], tmp_path: Path) -> None:
    tests = ("digits", served["fresh"])
    with pytest.raises(KeyboardInterrupt):
        train_on_data_sets(config(), data, tmp_path, tests=tests, observer=Recorder(stop=True))
    assert not (tmp_path / "results.json").exists()
    with pytest.raises(DataError, match="there is no trained model"):
        evaluate_workdir(tmp_path)
    again = train_on_data_sets(config(), data, tmp_path, tests=tests)
    assert again["curve"] == served["results"]["curve"]
    assert same_params(served["workdir"], tmp_path)


# Damage


def flip_a_byte(path: Path) -> None:
    shard = path / layout.shard_name(1)
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    with open(shard, "r+b") as file:  # in place: whoever has it mapped reads it meanwhile
        file.write(content)


def cut(path: Path) -> None:
    shard = path / layout.shard_name(0)
    shard.write_bytes(shard.read_bytes()[:-1])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no manifest": lambda path: (path / layout.MANIFEST).unlink(),
    "no commit": lambda path: (path / layout.COMMIT).unlink(),
    "no shard": lambda path: (path / layout.shard_name(0)).unlink(),
    "a stranger": lambda path: (path / "photo.jpg").touch(),
    "a shard cut short": cut,
    "a flipped bit": flip_a_byte,
    "shards exchanged": lambda path: shutil.copy(path / layout.shard_name(0), path / layout.shard_name(1)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("where", ["data", "test"])
def test_damaged_data_sets_are_not_trained_on(
    damage: str, where: str, data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Path(shutil.copytree(data[1], tmp_path / "bad.dkds"))
    DAMAGES[damage](bad)
    monkeypatch.setattr("dkjax.train.loop.train", lambda *_: pytest.fail("a damaged data set is trained on"))
    given = {"data": (data[0], bad), "tests": ()} if where == "data" else {"data": data[:1], "tests": (str(bad),)}
    with pytest.raises(DamagedDataSetError):
        train_on_data_sets(config(), given["data"], tmp_path / "run", tests=given["tests"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["trained on", "tested on"])
def test_a_shard_rewritten_meanwhile(where: str, data: tuple[Path, Path], served: dict, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(path, tmp_path / path.name)) for path in data]
    test = Path(shutil.copytree(served["fresh"], tmp_path / "fresh.dkds"))
    victim = paths[1] if where == "trained on" else test

    class Rewriting(Observer):
        def training(self, progress: Progress) -> None:
            if progress.step == 9:
                flip_a_byte(victim)

    train = lambda observer: train_on_data_sets(  # noqa: E731
        config(checkpoint_every=100), paths, tmp_path / "run", tests=("digits", str(test)), observer=observer
    )
    with pytest.raises(DamagedDataSetError, match=r"shard-.* was written to while it was in use: copy it again") as e:
        train(Rewriting())
    assert (e.value.kind, e.value.exit_code) == ("changed", 4)
    # Of steps 1 to 6, before the change, there is a checkpoint; of those after it nothing is kept.
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["6"]
    with pytest.raises(DamagedDataSetError, match=r"record \d+ is damaged"):
        train(None)
    flip_a_byte(victim)
    results = train(None)
    assert list(results["test_accuracy"].values()) == list(served["results"]["test_accuracy"].values())
    assert results["train"] == served["results"]["train"]


def test_a_damaged_set_beside_its_whole_copy(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Both carry one id; the copy is the test set."""
    bad = Path(shutil.copytree(data[1], tmp_path / "bad.dkds"))
    flip_a_byte(bad)
    with pytest.raises(DamagedDataSetError):
        train_on_data_sets(config(), (data[0], bad), tmp_path / "run", tests=(str(data[1]),))


def test_pixel_by_pixel_encryption_needs_a_patch_size(tmp_path: Path) -> None:
    path = encrypted(tmp_path / "a.dkds", block_size=1)
    with pytest.raises(ConfigError, match=r"set model\.patch_size"):
        train_on_data_sets(config(), [path], tmp_path / "run")
    with pytest.raises(ConfigError, match="patch_size=3 does not divide height=8"):
        train_on_data_sets(
            parse_as(ServerConfig, {"model": {**MODEL, "patch_size": 3}, "train": TRAIN}), [path], tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_an_equivariant_reading(data: tuple[Path, Path], tmp_path: Path) -> None:
    """It is kept with the trained model, as a relation bias is, and refused where blocks have orders of their own."""
    related = {"depth": 2, "relation_bias": True}
    tree = {
        "model": {**MODEL, "reading": "equivariant", **related},
        "train": TRAIN | {"epochs": 1},
        "data": {"test_images": 20},
    }
    equivariant = parse_as(ServerConfig, tree)
    own = encrypted(tmp_path / "own.dkds", pixel_order="block")
    with pytest.raises(
        ConfigError, match=r"reading=equivariant: .*own\.dkds: .* needs one order .* disposable gives each"
    ):
        train_on_data_sets(equivariant, [*data, own], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    results = train_on_data_sets(equivariant, data, tmp_path / "run", tests=("digits",))
    trained = load_trained(tmp_path / "run")
    assert (trained.model.reading, trained.model.relation_bias) == ("equivariant", True)
    assert trained.params["Transformer"]["encoderblock_0"]["relation_bias"]["kernel"].any()
    (measured,) = evaluate_workdir(tmp_path / "run")["test_sets"]
    assert measured["accuracy"] == results["test_accuracy"]["digits"]


def test_starts_from_a_checkpoint(data: tuple[Path, Path], served: dict, tmp_path: Path) -> None:
    trained = load_trained(served["workdir"])
    export_params(trained.params, trained.model, trained.image_shape, tmp_path / "weights", to="npz")
    still = {**TRAIN, "epochs": 1, "learning_rate": 1e-12}
    tree = {"model": {**MODEL, "pretrained": str(tmp_path / "weights")}, "train": still}
    results = train_on_data_sets(parse_as(ServerConfig, tree), data, tmp_path / "run")
    assert results["notes"][0].startswith(f"start from {tmp_path / 'weights'}")
    start, _ = load_pretrained(tmp_path / "weights", trained.model, trained.image_shape)
    after = load_trained(tmp_path / "run").params
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-8), start, after)


# Testing


def test_examine_finds_what_training_found(served: dict) -> None:
    measured = evaluate_workdir(served["workdir"])
    assert {one["name"]: one["accuracy"] for one in measured["test_sets"]} == served["results"]["test_accuracy"]
    for one, images in zip(measured["test_sets"], (20, 15), strict=True):
        assert one["images"] == sum(line["images"] for line in one["classes"]) == images
        hits = sum(line["images"] * (line["accuracy"] or 0) for line in one["classes"])
        assert hits / images == pytest.approx(one["accuracy"])
        assert all((line["accuracy"] is None) == (line["images"] == 0) for line in one["classes"])


def test_examine_on_other_images(served: dict, data: tuple[Path, Path]) -> None:
    measured = evaluate_workdir(served["workdir"], data=[str(data[0]), "digits"], test_all=True, batch_size=4)
    assert [one["images"] for one in measured["test_sets"]] == [30, 1797]
    with pytest.raises(ConfigError, match="cannot be divided among 4 devices"):
        evaluate_workdir(served["workdir"], batch_size=6)


def test_examine_refuses(data: tuple[Path, Path], served: dict, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no trained model in"):
        evaluate_workdir(tmp_path)
    train_on_data_sets(config(epochs=1), data, tmp_path / "untested")
    with pytest.raises(ConfigError, match="was trained without a test set: say with --data"):
        evaluate_workdir(tmp_path / "untested")
    bad = Path(shutil.copytree(data[1], tmp_path / "bad.dkds"))
    flip_a_byte(bad)
    with pytest.raises(DamagedDataSetError):
        evaluate_workdir(served["workdir"], data=[str(bad)])


def test_training_on_the_test_set_is_noted(data: tuple[Path, Path], tmp_path: Path) -> None:
    results = train_on_data_sets(config(epochs=1, runs=2), data[:1], tmp_path, tests=[str(data[0])])
    assert results["notes"][1].endswith("is tested on and trained on: its accuracy says nothing about new images")
    assert results["notes"][2] == "train.runs is for simulations: the training is done once"
