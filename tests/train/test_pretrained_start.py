"""What training starts from: a model that dkjax trained, fitted to other images and classes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.config import ModelConfig, TrainConfig
from dkjax.errors import ConfigError, DataError
from dkjax.models.reading import Reading, kernel_of_sorted
from dkjax.models.vit import Model, vit
from dkjax.train.pretrained_start import load_start
from dkjax.train.trained_model import Trained, save_trained

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, depth=2, heads=2, mlp_dim=8, reading="sorted")
SHAPE = (8, 12, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with nothing at zero."""
    params = MODEL.init(jax.random.key(1), SHAPE)
    leaves, tree = jax.tree.flatten(params)
    drawn = [jax.random.normal(jax.random.key(i), leaf.shape) / 4 for i, leaf in enumerate(leaves)]
    folder = tmp_path_factory.mktemp("public")
    save_trained(folder, Trained(MODEL, jax.tree.unflatten(tree, drawn), SHAPE, ("a", "b", "c")))
    return folder


def start(folder: Path, model: Model, shape: tuple[int, int, int], **config: Any) -> tuple[Any, str]:
    found = load_start(ModelConfig(pretrained=folder, **config), model, shape)
    return found.params, found.notes[0]


def test_a_trained_model_is_a_start(folder: Path) -> None:
    params, note = start(folder, dataclasses.replace(MODEL, num_classes=7), SHAPE)
    fresh = dataclasses.replace(MODEL, num_classes=7).init(jax.random.key(0), SHAPE)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, fresh)
    leaves, tree = jax.tree.flatten(MODEL.init(jax.random.key(1), SHAPE))
    drawn = [jax.random.normal(jax.random.key(i), leaf.shape) / 4 for i, leaf in enumerate(leaves)]
    saved = jax.tree.unflatten(tree, drawn)
    for part in saved.keys() - {"head"}:
        jax.tree.map(np.testing.assert_array_equal, params[part], saved[part])
    assert not any(np.any(leaf) for leaf in params["head"].values())
    assert note.startswith(f"start from {folder}: dkjax, ")
    assert "starting from zero: head/bias, head/kernel" in note


@pytest.mark.parametrize(("patch_size", "channels"), [(8, 1), (16, 1), (8, 3)])
def test_sorted_values_of_other_patches_mean_the_same(folder: Path, patch_size: int, channels: int) -> None:
    """A patch's quantile function is embedded alike, however many values it is sampled at."""
    model = dataclasses.replace(MODEL, patch_size=patch_size)
    params, note = start(folder, model, (2 * patch_size, 3 * patch_size, channels))
    before, _ = start(folder, MODEL, SHAPE)
    values = patch_size**2 * channels
    assert f"resized: embedding/kernel from 16 to {values} sorted values" in note

    def embedded(params: Any, quantile: Callable[[np.ndarray], np.ndarray]) -> jax.Array:
        kernel = params["embedding"]["kernel"].reshape(-1, 8)
        return quantile((np.arange(len(kernel)) + 0.5) / len(kernel)) @ kernel_of_sorted(kernel)

    for quantile in (lambda at: np.sin(2 * at - 1), np.ones_like, lambda at: at**3):
        expected, found = embedded(before, quantile), embedded(params, quantile)
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(found, expected, atol=0.06 * np.abs(expected).max())


@pytest.mark.parametrize("reading", ["sorted_channels", "sorted_pixels"])
@pytest.mark.parametrize("patch_size", [4, 8])
def test_sorted_channels_know_what_grey_images_taught(
    folder: Path, tmp_path: Path, reading: Reading, patch_size: int
) -> None:
    """Three channels that hold the same have the token of the grey image, and back again."""
    model = dataclasses.replace(MODEL, patch_size=patch_size, reading=reading)
    params, note = start(folder, model, (2 * patch_size, 3 * patch_size, 3))
    before, _ = start(folder, MODEL, SHAPE)
    assert f"resized: embedding/kernel from 16 to {patch_size**2} sorted values of each of 3 channels" in note

    def embedded(params: Any, reading: Reading, channels: int) -> jax.Array:
        kernel = params["embedding"]["kernel"].reshape(-1, 8)
        at = (np.arange(len(kernel) // channels) + 0.5) * channels / len(kernel)
        return np.repeat(at**3, channels) @ kernel_of_sorted(kernel, channels, reading)

    expected, found = embedded(before, "sorted", 1), embedded(params, reading, 3)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=0.06 * np.abs(expected).max())
    trained = Trained(
        dataclasses.replace(model, num_classes=3), params, (2 * patch_size, 3 * patch_size, 3), ("a", "b", "c")
    )
    save_trained(tmp_path, trained)
    grey, _ = start(tmp_path, dataclasses.replace(model, patch_size=4), SHAPE)
    np.testing.assert_allclose(grey["embedding"]["kernel"], before["embedding"]["kernel"], rtol=1e-5)


def test_fewer_values_keep_the_slow_coefficients(folder: Path) -> None:
    params, note = start(folder, dataclasses.replace(MODEL, patch_size=2), (4, 6, 1))
    before, _ = start(folder, MODEL, SHAPE)
    kernel = before["embedding"]["kernel"].reshape(16, 8)[:4] * 2
    np.testing.assert_allclose(params["embedding"]["kernel"].reshape(4, 8), kernel, rtol=1e-6)
    assert "from 16 to 4 sorted values" in note


def test_a_new_embedding_is_drawn(folder: Path) -> None:
    params, note = start(folder, MODEL, SHAPE, new_embedding=True)
    fresh = MODEL.init(jax.random.key(0), SHAPE)["embedding"]
    jax.tree.map(np.testing.assert_array_equal, params["embedding"], fresh)
    assert "starting from random numbers: embedding/bias, embedding/kernel" in note


def test_for_another_reading_the_embedding_is_drawn(folder: Path) -> None:
    params, note = start(folder, dataclasses.replace(MODEL, reading="values"), SHAPE)
    fresh = MODEL.init(jax.random.key(0), SHAPE)["embedding"]
    jax.tree.map(np.testing.assert_array_equal, params["embedding"], fresh)
    assert note.endswith(
        "the checkpoint has reading='sorted' and the model reading='values': its patch embedding is of no use"
    )


@pytest.mark.parametrize(
    ("settings", "config", "text"),
    [
        ({"width": 16}, {}, "width=8, and the model here has width=16; set width=8"),
        (
            {},
            {"pretrained_std": (0.2,)},
            r"model\.pretrained_std: .* was trained by dkjax and says it itself: leave it away",
        ),
        ({}, {"pretrained_architecture": "x"}, r"model\.pretrained_architecture: .* leave it away"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, settings: dict, config: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        start(folder, dataclasses.replace(MODEL, **settings), SHAPE, **config)


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(DataError, match=r"model\.json is damaged"):
        start(tmp_path, MODEL, SHAPE)


def test_nothing_named_is_nothing_loaded() -> None:
    assert load_start(ModelConfig(), MODEL, SHAPE) == (None, [], True)


@pytest.mark.parametrize(
    ("model", "settings", "new"),
    [
        (MODEL, {}, False),
        (dataclasses.replace(MODEL, patch_size=2), {}, False),
        (MODEL, {"new_embedding": True}, True),
        (dataclasses.replace(MODEL, reading="values"), {}, True),
    ],
)
def test_a_new_embedding_alone_has_a_rate_of_its_own(folder: Path, model: Model, settings: dict, new: bool) -> None:
    found = load_start(ModelConfig(pretrained=folder, **settings), model, SHAPE)
    asked = TrainConfig(head_learning_rate=0.5, embedding_learning_rate=0.25)
    left = found.settings(asked)
    assert (left.head_learning_rate, left.embedding_learning_rate) == (0.5, 0.25 if new else None)
    assert load_start(ModelConfig(), MODEL, SHAPE).settings(asked) == asked
