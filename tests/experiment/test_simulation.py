"""Simulations of a few seconds: their schema, that they repeat, that they go on, and that no key stays behind."""

import dataclasses
import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from key_search import found_keys, spellings, watched_keys

from dkjax.cipher.blocks import to_blocks
from dkjax.config import SimulationConfig, TrainConfig, config_hash, parse_config, resolved
from dkjax.errors import ArgumentError, ConfigError
from dkjax.experiment import simulation
from dkjax.experiment.arms.kind import ArmTask
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.simulation import simulate
from dkjax.models.pretrained import export_params, load_pretrained
from dkjax.models.vit import vit
from dkjax.runtime import machine
from dkjax.runtime.files import read_json
from dkjax.train.loop import make_trainer
from dkjax.train.mesh import replicated, train_mesh
from dkjax.train.observer import Observer
from dkjax.train.params import load_params
from dkjax.train.trained_model import load_trained

ARMS = ("plain", "disposable", "client_key", "shared_key", "shared_key-adapted")
RUNS = 2
TEST_IMAGES = 60


def config(arms: tuple[str, ...] = ARMS, **sections: dict[str, Any]) -> SimulationConfig:
    settings = {"shared_key-adapted": {"adapt_embedding": True}}
    tree: dict[str, Any] = {
        "data": {"source": "digits", "image_size": 16, "train_images": 64, "test_images": TEST_IMAGES},
        "clients": {"count": 2, "partition": "dirichlet", "alpha": 1.0},
        "keys": {"mode": "reproducible", "seed": 0},
        "scheme": {"block_size": 8, "fixed_blocks": "50%"},
        "model": {"variant": "mu", "width": 16, "heads": 2, "mlp_dim": 16},
        "train": {"epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 2, "runs": RUNS},
        "arms": [{"name": name, **settings.get(name, {})} for name in arms],
    }
    for section, values in sections.items():
        tree[section] = {**tree.get(section, {}), **values} if section != "keys" else values
    return parse_config(tree)


class Recorder(Observer):
    """Notes what it is told, and stops the simulation when it has seen enough."""

    def __init__(self, stop_at: tuple[str, str, int] | None = None) -> None:
        self.started: list[tuple[str, int]] = []
        self.kept: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self._stop_at = stop_at

    def _reached(self, event: str) -> None:
        if self._stop_at == (event, *self.started[-1]):
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        self.started.append((arm, run))
        self._reached("run_started")

    def run_kept(self, arm: str, run: int) -> None:
        self.kept.append((arm, run))

    def training(self, progress: object) -> None:
        self._reached("training")

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        self._reached("run_finished")


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Any:
    """Compile the training once for all simulations of this file: a trainer holds no state."""
    with pytest.MonkeyPatch.context() as patch:
        compiled = functools.cache(lambda text, *rest: make_trainer(TrainConfig.model_validate_json(text), *rest))
        patch.setattr(simulation, "make_trainer", lambda train, *rest, **_: compiled(train.model_dump_json(), *rest))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An uninterrupted simulation: results, folder, what the observer heard, and the words of every key it used."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    observer = Recorder()
    with watched_keys() as used:
        results = simulate(config(), workdir, observer)
    return {"results": results, "workdir": workdir, "observer": observer, "keys": np.concatenate(used)}


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    arms = [{name: arm[name] for name in arm if not name.endswith("seconds")} for arm in results["arms"]]
    return {**results, "arms": arms}


def seen(workdir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(workdir)): path.read_bytes() for path in sorted(workdir.rglob("seen.npz"))}


# What it says


def test_schema(whole: dict) -> None:
    results = whole["results"]
    assert results.keys() == {"arms", "data", "notes", "config", "config_hash", "versions", "device"}
    assert json.dumps(read_json(whole["workdir"] / "results.json")) == json.dumps(results)
    assert (results["config"], results["config_hash"]) == (resolved(config()), config_hash(config()))
    assert {"python", "dkjax", *machine.REQUIRED} == results["versions"].keys()
    assert (results["device"]["platform"], results["device"]["count"]) == ("cpu", 4)

    data = results["data"]
    assert (data["image_shape"], data["class_names"]) == ([16, 16, 1], [str(digit) for digit in range(10)])
    assert (data["train_images"], data["test_images"], data["skipped"]) == (64, TEST_IMAGES, 0)
    assert [client["name"] for client in data["clients"]] == ["client-1", "client-2"]
    assert sum(client["images"] for client in data["clients"]) == 64
    assert all(sum(client["images_per_class"]) == client["images"] for client in data["clients"])
    assert whole["observer"].started == [(arm, run) for arm in ARMS for run in (1, 2)]


@pytest.mark.parametrize("name", ARMS)
def test_schema_of_an_arm(name: str, whole: dict) -> None:
    arm = next(arm for arm in whole["results"]["arms"] if arm["name"] == name)
    kind = re.match("[a-z_]+", name)[0]
    encrypted = kind != "plain"
    expected = ("disposable", 2, 0) if encrypted else (None, None, None)
    assert (arm["scheme"], arm["fixed_blocks"], arm["fixed_pixels"]) == expected
    sharing = {"plain": "none", "disposable": "per_image", "client_key": "per_client", "shared_key": "shared"}
    assert (arm["keys"], arm["adapt_embedding"]) == (sharing[kind], name == "shared_key-adapted")
    views = {"plain": {"plain"}, "disposable": {"plain", "fresh_key"}}
    assert arm["test_accuracy"].keys() == views.get(kind, {"plain", "fresh_key", "same_key"})
    for view, accuracy in arm["test_accuracy"].items():
        assert accuracy.keys() == {"mean", "std", "runs"}
        assert len(accuracy["runs"]) == RUNS
        assert accuracy["mean"] == pytest.approx(np.mean(accuracy["runs"]))
        assert accuracy["std"] == pytest.approx(np.std(accuracy["runs"], ddof=1))
        assert accuracy["runs"] == [curve[-1]["test_accuracy"][view] for curve in arm["curves"]]
        counts = np.array(accuracy["runs"]) * TEST_IMAGES
        np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    assert [[(point["step"], point["epoch"]) for point in curve] for curve in arm["curves"]] == [
        [(16, 2.0), (32, 4.0)]
    ] * RUNS
    assert arm["upload_bytes"] == 64 * (16 * 16 + 4)
    assert 0 <= arm["encrypt_seconds"] < arm["seconds"]
    assert (arm["key_space_bits"] is None) == (not encrypted)
    assert arm["ssim"] == pytest.approx(1) if not encrypted else arm["ssim"] < 0.6


def test_each_run_keeps_its_files(whole: dict) -> None:
    for name in ARMS:
        for run in range(RUNS):
            folder = whole["workdir"] / "arms" / name / f"run-{run}"
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            assert {16, 32} <= {line["step"] for line in lines if "loss" in line}
            assert [line["step"] for line in lines if "test_accuracy" in line] == [16, 32]
            with np.load(folder / "seen.npz") as samples:
                plain, uploaded = samples["plain"], samples["seen"]
            assert plain.shape == uploaded.shape
            assert np.array_equal(plain, uploaded) == (name == "plain")
            np.testing.assert_array_equal(*(np.sort(a.reshape(len(a), -1)) for a in (plain, uploaded)))
            assert all(np.isfinite(leaf).all() for leaf in restored(folder / "params"))
            trained = load_trained(folder)
            assert trained.image_shape == tuple(whole["results"]["data"]["image_shape"])
            assert trained.class_names == tuple(whole["results"]["data"]["class_names"])


def test_the_adapted_arm_is_the_plain_arm(whole: dict) -> None:
    plain, adapted = (next(arm for arm in whole["results"]["arms"] if arm["name"] == name) for name in ARMS[::4])
    for plain_curve, adapted_curve in zip(plain["curves"], adapted["curves"], strict=True):
        for one, other in zip(plain_curve, adapted_curve, strict=True):
            difference = one["test_accuracy"]["plain"] - other["test_accuracy"]["same_key"]
            # Equal but for the order of float32 sums, which may tip an image or two.
            assert abs(difference) <= 2.001 / TEST_IMAGES
    assert plain["test_accuracy"]["plain"]["mean"] > 0.25  # it learnt something that could differ


# That it repeats and goes on


def test_the_same_in_another_folder(whole: dict, tmp_path: Path) -> None:
    fewer = ("disposable", "shared_key")
    again = without_times(simulate(config(fewer), tmp_path))["arms"]
    assert again == [arm for arm in without_times(whole["results"])["arms"] if arm["name"] in fewer]
    assert len(seen(tmp_path)) == len(fewer) * RUNS
    assert seen(tmp_path).items() <= seen(whole["workdir"]).items()


def test_runs_and_arms_have_keys_of_their_own(whole: dict) -> None:
    # The runs of the plain arm are alike; the adapted arm has the keys of the shared_key arm, run by run.
    assert len(seen(whole["workdir"])) == len(ARMS) * RUNS
    assert len(set(seen(whole["workdir"]).values())) == 1 + RUNS * (len(ARMS) - 2)


@pytest.mark.parametrize(
    ("stop_at", "finished"),
    [
        (("run_finished", "plain", 1), [("plain", 1)]),
        (("run_started", "disposable", 1), [("plain", 1), ("plain", 2)]),
        (("training", "disposable", 1), [("plain", 1), ("plain", 2)]),
    ],
)
def test_goes_on_after_an_interrupt(
    stop_at: tuple[str, str, int], finished: list[tuple[str, int]], whole: dict, tmp_path: Path
) -> None:
    two = config(("plain", "disposable"))
    with pytest.raises(KeyboardInterrupt):
        simulate(two, tmp_path, Recorder(stop_at))
    assert not (tmp_path / "results.json").exists()
    paths = sorted(tmp_path.rglob("result.json"))
    assert len(paths) == len(finished)
    before = [path.stat().st_mtime_ns for path in paths]
    observer = Recorder()
    results = simulate(two, tmp_path, observer)
    assert observer.kept == finished
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert observer.started == [(arm, run) for arm in names_of(two) for run in (1, 2) if (arm, run) not in finished]
    assert without_times(results)["arms"] == without_times(whole["results"])["arms"][:2]
    assert seen(tmp_path).items() <= seen(whole["workdir"]).items()


def names_of(settings: SimulationConfig) -> list[str]:
    return [arm.name for arm in settings.arms]


def test_a_lost_result_is_done_again(whole: dict, tmp_path: Path) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole["workdir"], workdir)
    (workdir / "arms" / "client_key" / "run-1" / "result.json").unlink()
    observer = Recorder()
    assert without_times(simulate(config(), workdir, observer)) == without_times(whole["results"])
    assert observer.started == [("client_key", 2)]
    assert len(observer.kept) == len(ARMS) * RUNS - 1
    assert seen(workdir) == seen(whole["workdir"])


def test_another_configuration_is_refused(whole: dict) -> None:
    with pytest.raises(ConfigError, match=r"which differs in keys\.seed: choose another --workdir"):
        simulate(config(keys={"mode": "reproducible", "seed": 1}), whole["workdir"])


# Keys


def test_disposable_keys_differ_between_runs(whole: dict, tmp_path: Path) -> None:
    disposable = config(("disposable",), keys={"mode": "disposable"})
    images = []
    for name in ("one", "other"):
        observer = Recorder()
        results = simulate(disposable, tmp_path / name, observer)
        assert results["notes"] == observer.notes == []
        assert results["config"]["keys"] == {"mode": "disposable", "seed": None, "prng": "chacha20"}
        images += [np.load(path)["seen"] for path in sorted((tmp_path / name).rglob("seen.npz"))]
    images.append(np.load(whole["workdir"] / "arms/disposable/run-0/seen.npz")["seen"])
    for number, one in enumerate(images):
        for other in images[:number]:
            assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def restored(path: Path) -> list[np.ndarray]:
    """The arrays of a run's parameters."""
    model = vit("mu", patch_size=8, num_classes=10, width=16, heads=2, mlp_dim=16)
    like = jax.eval_shape(lambda key: model.init(key, (16, 16, 1)), jax.random.key(0))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_params(path, like, replicated(train_mesh(8))))]


def test_no_key_in_any_file(whole: dict, tmp_path: Path) -> None:
    words = np.unique(whole["keys"], axis=0)
    # Roots, round keys, clients' nodes and the keys of every image: at least those of the disposable arm.
    assert len(words) > RUNS * (64 + TEST_IMAGES)
    # What Orbax writes is compressed: look at the arrays as well.
    for number, path in enumerate(sorted(whole["workdir"].rglob("params"))):
        (tmp_path / f"{number}.params").write_bytes(b"".join(leaf.tobytes() for leaf in restored(path)))
    assert len(list(tmp_path.iterdir())) == len(ARMS) * RUNS
    assert found_keys(whole["workdir"], words) == []
    assert found_keys(tmp_path, words) == []


@pytest.mark.parametrize("spelling", range(5))
def test_a_planted_key_would_be_found(spelling: int, whole: dict, tmp_path: Path) -> None:
    (tmp_path / "clean").write_bytes(bytes(range(256)) + b'{"seconds": 1234567890, "hash": "' + 32 * b"ab" + b'"}')
    (tmp_path / "planted").write_bytes(b"abc" + spellings(whole["keys"][-1])[spelling] + b"xyz")
    assert found_keys(tmp_path, whole["keys"]) == ["planted"]


# Schemes


@pytest.mark.parametrize("name", ["etc", "le", "pe"])
def test_another_scheme(name: str, tmp_path: Path) -> None:
    """Blocks that are smaller than the ViT's patches, too."""
    sizes = {"etc": 8, "le": 4, "pe": 1}
    settings = config(
        ("disposable", "client_key", "shared_key"), model={"patch_size": 8}, train={"epochs": 1, "runs": 1}
    )
    tree = resolved(settings)
    tree["scheme"] = {"name": name, "block_size": sizes[name]}
    results = simulate(parse_config(tree), tmp_path)
    for arm in results["arms"]:
        assert (arm["scheme"], arm["fixed_pixels"]) == (name, None)
        assert arm["key_space_bits"]["transform"] > 10
        with np.load(tmp_path / "arms" / arm["name"] / "run-0" / "seen.npz") as samples:
            assert samples["seen"].dtype == np.uint8
            assert not np.array_equal(samples["plain"], samples["seen"])


def test_arms_differ_in_scheme_and_reading(tmp_path: Path) -> None:
    """An order of its own in every block, read sorted, is what `sorted_blocks` leaves, and its images are these."""
    tree = resolved(config(("plain",), train={"epochs": 1, "runs": 1}))
    tree["arms"] = [
        {"name": "plain-sorted", "reading": "sorted"},
        {"name": "disposable"},
        {"name": "disposable-own-order", "fixed_blocks": 0, "pixel_order": "block", "reading": "sorted"},
        {"name": "disposable-sorted", "scheme": "sorted_blocks", "reading": "sorted"},
    ]
    arms = {arm["name"]: arm for arm in simulate(parse_config(tree), tmp_path)["arms"]}
    shown = {
        name: (arm["scheme"], arm["pixel_order"], arm["fixed_pixels"], arm["reading"]) for name, arm in arms.items()
    }
    assert shown == {
        "plain-sorted": (None, None, None, "sorted"),
        "disposable": ("disposable", "image", 0, "values"),
        "disposable-own-order": ("disposable", "block", 0, "sorted"),
        "disposable-sorted": ("sorted_blocks", "sorted", None, "sorted"),
    }
    own_order, sorted_blocks = arms["disposable-own-order"], arms["disposable-sorted"]
    for name in ("test_accuracy", "curves"):
        assert own_order[name] == sorted_blocks[name] != arms["disposable"][name]
    with np.load(tmp_path / "arms/disposable-sorted/run-0/seen.npz") as samples:
        blocks = to_blocks(samples["seen"][0], tree["scheme"]["block_size"])
        assert np.array_equal(blocks, np.sort(blocks, axis=1))


def test_patches_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.patch_size=3 does not divide height=16: choose another"):
        simulate(config(("plain",), model={"patch_size": 3}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Rounds


@pytest.mark.parametrize("train_on", ["all", "newest"])
def test_rounds(train_on: str, tmp_path: Path) -> None:
    observer = Recorder()
    settings = config(("disposable",), clients={"rounds": 2, "train_on": train_on})
    results = simulate(settings, tmp_path, observer)
    assert results["notes"] == observer.notes
    assert len(results["notes"]) == 2
    assert "anybody who knows the seed can decrypt" in results["notes"][0]
    assert "2 encryptions of every image" in results["notes"][1]
    (arm,) = results["arms"]
    assert arm["upload_bytes"] == 2 * 64 * (16 * 16 + 4)
    assert [point["step"] for point in arm["curves"][0]] == [16, 32]


@pytest.mark.parametrize(
    ("arms", "rounds", "mode", "count"),
    [
        (("plain", "client_key"), 2, "reproducible", 1),
        (("disposable",), 1, "reproducible", 1),
        (("disposable",), 1, "disposable", 0),
        (("disposable",), 3, "disposable", 1),
    ],
)
def test_notes(arms: tuple[str, ...], rounds: int, mode: str, count: int) -> None:
    key_section = {"mode": mode, "seed": 0} if mode == "reproducible" else {"mode": mode}
    settings = config(arms, clients={"rounds": rounds}, keys=key_section)
    assert len(simulation.notes_on_keys(settings, arms)) == count


# Augmentation


AUGMENT = {"flip": True, "crop": 2, "rand_augment": [1, 9]}


def test_every_arm_trains_on_the_same_augmented_images(whole: dict, tmp_path: Path) -> None:
    arms = ("plain", "disposable", "shared_key", "shared_key-adapted")
    results = simulate(config(arms, augment=AUGMENT), tmp_path)
    assert results["config"]["augment"] == AUGMENT
    samples = {}
    for name in seen(tmp_path):
        with np.load(tmp_path / name) as arrays:
            samples[Path(name).parent.parent.name, Path(name).parent.name] = arrays["plain"], arrays["seen"]
    with np.load(whole["workdir"] / "arms/plain/run-0/seen.npz") as arrays:
        untouched = arrays["plain"]
    for run in ("run-0", "run-1"):
        plain = samples["plain", run][0]
        assert sum(np.array_equal(*pair) for pair in zip(plain, untouched, strict=True)) < len(plain) / 2
        np.testing.assert_array_equal(*samples["plain", run])
        for arm in arms[1:]:
            np.testing.assert_array_equal(samples[arm, run][0], plain)
            # Encrypted after all that: the values of each image are those of the augmented one.
            np.testing.assert_array_equal(*(np.sort(a.reshape(len(a), -1)) for a in samples[arm, run]))
    assert not np.array_equal(samples["plain", "run-0"][0], samples["plain", "run-1"][0])
    assert results["arms"][0]["ssim"] == pytest.approx(1)
    # The same images, so that the adapted arm still is the plain arm.
    for one, other in zip(results["arms"][0]["curves"], results["arms"][3]["curves"], strict=True):
        for point, twin in zip(one, other, strict=True):
            difference = point["test_accuracy"]["plain"] - twin["test_accuracy"]["same_key"]
            assert abs(difference) <= 2.001 / TEST_IMAGES


def uploads_of(settings: SimulationConfig, workdir: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What reached the server and what it was tested on, round by round, of a simulation of one run."""
    arrived: list[tuple[dict[str, Any], dict[str, Any]]] = []
    with pytest.MonkeyPatch.context() as patch:
        whole_rounds = arm_kind("plain").rounds

        def rounds(task: ArmTask) -> Any:
            for this_round in whole_rounds(task):
                images = {sent.client: sent.pool[:]["image"] for sent in this_round.uploads}
                arrived.append((images, this_round.test_views))
                yield this_round

        spied = dataclasses.replace(arm_kind("plain"), rounds=rounds)
        patch.setattr("dkjax.experiment.shared_setup.arm_kind", lambda name: spied)
        simulate(settings, workdir)
    return arrived


def test_augmented_freshly_in_every_round_and_test_images_never(tmp_path: Path) -> None:
    one_run = {"runs": 1, "epochs": 1}
    clients = {"rounds": 2}
    (first, views), (second, _) = uploads_of(
        config(("plain",), train=one_run, clients=clients, augment=AUGMENT), tmp_path / "augmented"
    )
    (untouched, plain_views), (repeated, _) = uploads_of(
        config(("plain",), train=one_run, clients=clients), tmp_path / "untouched"
    )
    for client in ("client-1", "client-2"):
        np.testing.assert_array_equal(untouched[client], repeated[client])
        assert not np.array_equal(first[client], untouched[client])
        assert not np.array_equal(second[client], untouched[client])
        assert not np.array_equal(first[client], second[client])
    np.testing.assert_array_equal(views["plain"][:]["image"], plain_views["plain"][:]["image"])


def test_augmented_on_disk_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    arms, short = ("plain", "disposable"), {"runs": 1, "epochs": 1}
    in_memory = simulate(config(arms, train=short, augment=AUGMENT), tmp_path / "memory")
    on_disk = simulate(config(arms, train=short, augment=AUGMENT, store={"on_disk": True}), tmp_path / "disk")
    assert [arm["curves"] for arm in in_memory["arms"]] == [arm["curves"] for arm in on_disk["arms"]]
    assert seen(tmp_path / "memory") == seen(tmp_path / "disk")


def test_rand_augment_of_other_channels_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "four.npz", image=np.zeros((20, 16, 16, 4), np.uint8), label=np.arange(20) % 2)
    four = config(("plain",), data={"source": str(tmp_path / "four.npz")}, augment=AUGMENT)
    with pytest.raises(ArgumentError, match=r"got 4; leave augment\.rand_augment out"):
        simulate(four, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# On disk


def params_of(workdir: Path, arm: str) -> list[np.ndarray]:
    return restored(workdir / "arms" / arm / "run-0" / "params")


def test_on_disk_is_the_same_bit_for_bit(whole: dict, tmp_path: Path) -> None:
    settings = config(store={"on_disk": True, "shard_images": 10}, train={"runs": 1})
    results = simulate(settings, tmp_path)
    for arm, in_memory in zip(results["arms"], whole["results"]["arms"], strict=True):
        assert arm["curves"] == in_memory["curves"][:1]
        assert arm["upload_bytes"] == in_memory["upload_bytes"]
        uploads = tmp_path / "arms" / arm["name"] / "run-0" / "uploads"
        assert uploads.exists() == (arm["name"] != "plain")
        for one, other in zip(params_of(tmp_path, arm["name"]), params_of(whole["workdir"], arm["name"]), strict=True):
            np.testing.assert_array_equal(one, other)
    assert {name: data for name, data in seen(whole["workdir"]).items() if "run-0" in name} == seen(tmp_path)
    assert len(list(tmp_path.rglob("*.dkds"))) == 2 * (len(ARMS) - 1)
    assert found_keys(tmp_path, np.unique(whole["keys"], axis=0)) == []


def test_on_disk_after_an_interrupt(tmp_path: Path) -> None:
    """What the stopped run uploaded was under keys that are gone: it is replaced, not mixed."""
    settings = config(
        ("disposable",), store={"on_disk": True}, train={"runs": 1, "epochs": 1}, keys={"mode": "disposable"}
    )
    with pytest.raises(KeyboardInterrupt):
        simulate(settings, tmp_path, Recorder(("training", "disposable", 1)))
    before = {path: path.read_bytes() for path in tmp_path.rglob("manifest.json")}
    assert len(before) == 2
    simulate(settings, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("manifest.json")}.keys() == before.keys()
    assert all(path.read_bytes() != data for path, data in before.items())


# Weights


def test_weights_change_the_order_alone(whole: dict, tmp_path: Path) -> None:
    weighted = config(("plain",), train={"runs": 1, "client_weights": {"client-1": 3.0, "client-2": 1.0}})
    results = simulate(weighted, tmp_path)
    assert len(results["arms"][0]["curves"][0]) == len(whole["results"]["arms"][0]["curves"][0])
    pairs = zip(params_of(tmp_path, "plain"), params_of(whole["workdir"], "plain"), strict=True)
    assert not all(np.array_equal(one, other) for one, other in pairs)


def test_weights_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.client_weights: client-2 has no weight"):
        simulate(config(("plain",), train={"client_weights": {"client-1": 3.0}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Pretrained weights


def test_every_arm_starts_from_the_pretrained_weights(tmp_path: Path) -> None:
    model = vit("mu", patch_size=8, num_classes=3, width=16, heads=2, mlp_dim=16)
    params = model.init(jax.random.key(7), (16, 16, 1))
    export_params(params, model, (16, 16, 1), tmp_path / "weights", to="npz")
    arms = ("plain", "disposable", "shared_key", "disposable-sorted")
    still = {"epochs": 1, "learning_rate": 1e-12, "runs": 1, "embedding_learning_rate": 1e-3}
    observer = Recorder()
    settings = config(arms, model={"pretrained": str(tmp_path / "weights")}, train=still)
    *others, reads_sorted = settings.arms
    read_sorted = reads_sorted.model_copy(update={"reading": "sorted"})
    settings = settings.model_copy(update={"arms": (*others, read_sorted)})
    results = simulate(settings, tmp_path / "run", observer)
    start, _ = load_pretrained(tmp_path / "weights", dataclasses.replace(model, num_classes=10), (16, 16, 1))
    names = [name for name, _ in jax.tree.leaves_with_path(start)]
    for arm in arms:
        trained = restored(tmp_path / "run" / "arms" / arm / "run-0" / "params")
        for name, ours, theirs in zip(names, trained, jax.tree.leaves(start), strict=True):
            if arm == "disposable-sorted" and name[0].key == "embedding":
                # Drawn anew for another reading, it has a rate of its own; those that are kept have the trunk's.
                drawn = model.init(jax.random.key(0), (16, 16, 1))["embedding"][name[1].key]
                assert np.abs(ours - drawn).max() > 1e-8
            else:
                np.testing.assert_allclose(ours, theirs, atol=1e-9)
    note = f"start from {tmp_path / 'weights'}: Google ViT .npz, "
    assert results["notes"][0].startswith(note) and observer.notes[0].startswith(note)
    assert "starting from zero: head/bias, head/kernel" in observer.notes[0]


def test_pretrained_weights_of_another_model_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = vit("mu", patch_size=8, num_classes=3)
    params = model.init(jax.random.key(7), (16, 16, 1))
    export_params(params, model, (16, 16, 1), tmp_path / "weights", to="npz")
    with pytest.raises(ConfigError, match=r'set variant="mu"'):
        simulate(config(("plain",), model={"pretrained": str(tmp_path / "weights")}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
