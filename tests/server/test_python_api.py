"""Training in Python: any optax optimizer, uploads in memory or on disk, and what can be done with the result."""

import contextlib
import dataclasses
import doctest
import importlib
import io
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_data_sets import digits, encrypted
from PIL import Image
from typer.testing import CliRunner

import dkjax
from dkjax.cli.main import app
from dkjax.client.upload import Upload
from dkjax.config import ServerConfig, parse_as
from dkjax.dkds import open_data_set
from dkjax.errors import ConfigError, DataError, StoppedError
from dkjax.input.record_pool import RecordPool
from dkjax.server import TrainedRun
from dkjax.server.run import train_on_data_sets
from dkjax.sources import open_source
from dkjax.sources.resize import resize_images

SIZES = {"width": 16, "heads": 2, "mlp_dim": 16}
MODEL = dkjax.models.vit("mu", patch_size=4, num_classes=3, **SIZES)
SGD = optax.sgd(0.1, momentum=0.9)
SHORT = {"epochs": 4, "batch_size": 16, "evaluations": 1}


def bright_rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes that are told apart by where images are bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 100, (count, 8, 8, 1), dtype=np.uint8)
    images[labels == 1, :4] += 120
    images[labels == 2, 4:] += 120
    return images, labels


def upload(client: str, count: int, seed: int) -> Upload:
    images, labels = bright_rows(count, seed)
    return Upload(client, 1, RecordPool([{"image": images, "label": labels.astype(np.int32)}]))


UPLOADS = [upload("a", 40, 1), upload("b", 24, 2)]
TEST = bright_rows(30, 3)


def sent(block_size: int, **settings: Any) -> Upload:
    images, labels = bright_rows(16, 4)
    return dkjax.client.encrypt(images, labels % 2, dkjax.schemes.disposable(block_size), client="c", **settings)


def train(uploads: Any = UPLOADS, **settings: Any) -> TrainedRun:
    return dkjax.server.train(MODEL, uploads, **{"optimizer": SGD, "tests": {"plain": TEST}, **SHORT, **settings})


@pytest.fixture(scope="module")
def run() -> TrainedRun:
    return train(epochs=12, evaluations=2)


def assert_same_params(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_it_learns_and_predicts(run: TrainedRun) -> None:
    labels = run.predict(TEST[0])
    assert (labels.dtype, labels.shape) == (np.int32, (30,))
    assert run.accuracy == {"plain": (labels == TEST[1]).mean()}
    assert run.accuracy["plain"] > 0.8
    assert [point["step"] for point in run.curve] == [24, 48]
    probabilities = run.probabilities(TEST[0])
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), labels)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    assert (run.model, run.image_shape, run.class_names) == (MODEL, (8, 8, 1), ("0", "1", "2"))
    assert "kernel" not in repr(run)


def test_any_optax_optimizer() -> None:
    """One that never moves leaves the parameters, and one that takes a step of a known size takes it."""
    params = MODEL.init(jax.random.key(5), (8, 8, 1))
    still = train(optimizer=optax.set_to_zero(), params=params)
    assert_same_params(still.params, params)
    constant = optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda grads, state, params: (jax.tree.map(jnp.ones_like, grads), state)
    )
    moved = train(optimizer=constant, params=params)
    jax.tree.map(lambda new, old: np.testing.assert_allclose(new, old + 16, atol=1e-4), moved.params, params)


def test_what_it_is_tested_on(tmp_path: Path) -> None:
    tests = {
        "arrays": TEST,
        "upload": UPLOADS[0],
        "path": str(encrypted(tmp_path / "t.dkds", digits(12))),
        "data set": open_data_set(tmp_path / "t.dkds"),
        "source": "digits",
    }
    ten = dkjax.models.vit("mu", patch_size=4, num_classes=10, **SIZES)
    found = dkjax.server.train(ten, UPLOADS, tests=tests, epochs=1, batch_size=16, evaluations=1)
    assert found.accuracy.keys() == tests.keys()
    assert found.accuracy["path"] == found.accuracy["data set"]
    assert train(tests=None).accuracy == {}


def test_equals_the_command(tmp_path: Path) -> None:
    paths = [encrypted(tmp_path / "b.dkds", digits(18)), encrypted(tmp_path / "a.dkds", digits(30))]
    shared = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "seed": 3}
    config = parse_as(ServerConfig, {"model": {"variant": "mu", **SIZES}, "train": shared})
    train_on_data_sets(config, paths, tmp_path / "run")
    model = dkjax.models.vit("mu", patch_size=4, num_classes=10, **SIZES)
    found = dkjax.server.train(model, [paths[0], open_data_set(paths[1])], **shared)
    assert_same_params(found.params, dkjax.load_trained(tmp_path / "run").params)
    assert found.class_names == tuple(str(digit) for digit in range(10))
    made_from = dkjax.load_trained(tmp_path / "run").trained.made_from
    assert [one["client"] for one in made_from] == ["a", "b"]
    assert found.trained.made_from == made_from


def test_load_trained(run: TrainedRun, tmp_path: Path) -> None:
    trained = train(epochs=12, evaluations=2, workdir=tmp_path / "run")
    assert_same_params(trained.params, run.params)
    loaded = dkjax.load_trained(tmp_path / "run")
    assert (loaded.accuracy, loaded.curve, loaded.model) == (run.accuracy, run.curve, MODEL)
    assert [(one["client"], one["records"]) for one in loaded.trained.made_from] == [("a", 40), ("b", 24)]
    np.testing.assert_array_equal(loaded.predict(TEST[0]), run.predict(TEST[0]))
    # Finished, it is not trained again; with another optimizer it is another run.
    before = (tmp_path / "run" / "metrics.jsonl").stat().st_mtime_ns
    assert train(epochs=12, evaluations=2, workdir=tmp_path / "run").accuracy == run.accuracy
    assert (tmp_path / "run" / "metrics.jsonl").stat().st_mtime_ns == before
    for other, place in (({"optimizer": optax.sgd(0.2, momentum=0.9)}, "optimizer"), ({"uploads": UPLOADS[:1]}, "up")):
        with pytest.raises(ConfigError, match=f"holds another run, which differs in {place}"):
            train(epochs=12, evaluations=2, workdir=tmp_path / "run", **other)


def test_python_predicts_as_the_command_does(tmp_path: Path) -> None:
    """Images of other proportions as `[data] resize` of the training says."""
    config = parse_as(
        ServerConfig,
        {"data": {"resize": "crop"}, "model": {"variant": "mu", **SIZES}, "train": {"epochs": 1, "batch_size": 8}},
    )
    train_on_data_sets(config, [encrypted(tmp_path / "a.dkds", digits(18))], tmp_path / "run")
    loaded = dkjax.load_trained(tmp_path / "run")
    assert loaded.resize == "crop"
    wide = np.random.default_rng(0).integers(0, 256, (1, 9, 20, 1), np.uint8)
    probabilities = loaded.probabilities(wide)
    cropped = resize_images(wide, loaded.image_shape[:2], "crop")
    np.testing.assert_array_equal(probabilities, loaded.probabilities(cropped))
    assert (probabilities != dataclasses.replace(loaded, resize="stretch").probabilities(wide)).any()
    Image.fromarray(wide[0, ..., 0]).save(tmp_path / "wide.png")
    ran = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(tmp_path / "wide.png"), "--json"])
    assert json.loads(ran.stdout)["images"][0]["probability"] == pytest.approx(float(probabilities.max()), abs=1e-6)


def test_a_stopped_training_resumes(run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([False] * 5 + [True] * 99)
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr("dkjax.server.run.synced_stop", lambda _: lambda: next(asked))
        train(epochs=12, evaluations=2, workdir=tmp_path)
    with pytest.raises(DataError, match="there is no trained model"):
        dkjax.load_trained(tmp_path)
    assert_same_params(train(epochs=12, evaluations=2, workdir=tmp_path).params, run.params)


@pytest.mark.parametrize(("name", "to"), [("m.npz", None), ("m.safetensors", None), ("folder", None), ("m.bin", "npz")])
def test_export(name: str, to: Any, run: TrainedRun, tmp_path: Path) -> None:
    path = run.export(tmp_path / name, to)
    assert path.is_dir() == (name == "folder")
    with pytest.raises(ConfigError, match="exists and was left as it is"):
        run.export(tmp_path / name, to)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            np.testing.assert_array_equal(arrays["head/kernel"], run.params["head"]["kernel"])
    with pytest.raises(ConfigError, match="say with to= which format is meant, one of npz"):
        run.export(tmp_path / "model.pickle")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"uploads": []}, DataError, "give at least one upload or encrypted data set"),
        ({"uploads": ["absent.dkds"]}, DataError, "absent.dkds"),
        (
            {"learning_rate": 1e-3},
            ConfigError,
            "learning_rate is a setting of the default optimizer: set it in your own",
        ),
        ({"learnin_rate": 1e-3}, ConfigError, "dkjax.server.train: unknown key learnin_rate; did you mean"),
        ({"batch_size": 6}, ConfigError, "cannot be divided among 4 devices"),
        ({"class_names": ["a", "b"]}, ConfigError, "there are 2 classes, and the model has num_classes=3"),
        ({"tests": {"t": (TEST[0], TEST[1] + 1)}}, DataError, "the test set 't': record .* has label 3, outside 0..2"),
        ({"tests": {"t": (TEST[0][:, :4], TEST[1])}}, DataError, r"the test set 't' has images of shape \[4, 8, 1\]"),
    ],
)
def test_bad_input(given: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(**given)


def test_uploads_that_do_not_fit_each_other_or_the_model() -> None:
    wide = np.zeros((8, 8, 16, 1), np.uint8)
    other = Upload("c", 1, RecordPool([{"image": wide, "label": np.zeros(8, np.int32)}]))
    with pytest.raises(DataError, match=r"the upload of c has images of shape \[8, 16, 1\], but another upload of"):
        train([*UPLOADS, other])
    wrong = Upload("c", 1, RecordPool([{"image": wide[:, :, :8], "label": np.full(8, 3, np.int32)}]))
    with pytest.raises(DataError, match=r"the upload of c has blocks of 2 pixels, but another upload of 4: a ViT"):
        train([sent(4), sent(2)])
    with pytest.raises(DataError, match=r"the upload of c calls class 1 'x', but another upload calls class 1 'y'"):
        train([sent(4, class_names=["0", "y", "2"]), sent(4, class_names=["0", "x"])])
    assert train([sent(4), *UPLOADS], tests=None, epochs=1).class_names == ("0", "1", "2")
    with pytest.raises(DataError, match=r"the upload of c: record 0 has label 3, outside 0\.\.2"):
        train([wrong])


@pytest.mark.parametrize("module", ["dkjax.server.training", "dkjax.experiment.comparison", "dkjax.models.vit"])
def test_examples(module: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert attempted >= 3


def test_every_name_is_found_on_first_use() -> None:
    for package in (dkjax, dkjax.server, dkjax.experiment, dkjax.models):
        assert all(hasattr(package, name) for name in package.__all__)
    with pytest.raises(AttributeError, match=r"module 'dkjax\.server' has no attribute 'trian'"):
        dkjax.server.trian  # noqa: B018
    assert dkjax.load_trained is dkjax.server.load_trained


def test_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script of the first page, with a small network and little data."""
    code = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(), re.DOTALL)[2]
    for wanted, quick in (
        ('vit("Ti"', 'vit("mu", width=8, heads=1, mlp_dim=8'),
        ("epochs=10, batch_size=128", "epochs=1, batch_size=8"),
        ("seeds=3", "seeds=1, epochs=1, batch_size=8, clients=2"),
    ):
        assert wanted in code
        code = code.replace(wanted, quick)
    monkeypatch.chdir(tmp_path)
    source = open_source("digits", "train", image_size=(16, 16))[np.arange(40)]
    x, y = source["image"], source["label"]
    y[:10] = np.arange(10)
    names = {"dkjax": dkjax, "sites": [("a", x[:20], y[:20]), ("b", x[20:], y[20:])], "x_test": x, "y_test": y}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    assert names["run"].accuracy.keys() == {"plain", "fresh_key"}
    assert (names["labels"].shape, (tmp_path / "model.safetensors").is_file()) == ((40,), True)
    assert [line.split()[0] for line in printed.getvalue().splitlines()] == ["arm", "plain", "disposable", "shared_key"]
