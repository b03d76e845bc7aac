"""The probabilities of new images: those of the model, however many images there are."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.errors import ArgumentError
from dkjax.models.vit import vit
from dkjax.server import predict
from dkjax.server.predict import predict_images
from dkjax.sources.resize import resize_images, to_channels
from dkjax.train.mesh import replicated, train_mesh
from dkjax.train.trained_model import Trained, save_trained

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8, pool="mean", dropout=0.1)


def made(channels: int = 3) -> Trained:
    """A model whose head is not zero, as it is before training."""
    params = MODEL.init(jax.random.key(1), (8, 12, channels))
    noise = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * noise.standard_normal(leaf.shape).astype(np.float32), params)
    return Trained(MODEL, params, (8, 12, channels), ("a", "b", "ç"))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return made()


def images(count: int, shape: tuple[int, int, int] = (8, 12, 3)) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def by_hand(trained: Trained, batch: np.ndarray) -> np.ndarray:
    logits = trained.model.apply(trained.params, jnp.asarray(batch, jnp.float32) / 127.5 - 1)
    return np.asarray(jax.nn.softmax(logits))


@pytest.mark.parametrize("sharded", [False, True])
def test_equals_the_model(trained: Trained, sharded: bool) -> None:
    batch = images(11)
    expected = by_hand(trained, batch)
    assert expected.std(axis=0).min() > 0.01  # the images are told apart
    if sharded:  # as `load_trained` puts parameters on the four devices of the tests
        params = jax.device_put(trained.params, replicated(train_mesh(4)))
        trained = Trained(trained.model, params, trained.image_shape, trained.class_names)
    found = predict_images(trained, batch, batch_size=4)
    assert (found.dtype, found.shape) == (np.float32, (11, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 9])
def test_any_number_of_images(trained: Trained, count: int) -> None:
    batch = images(9)
    found = predict_images(trained, batch[:count], batch_size=4)
    np.testing.assert_allclose(found, by_hand(trained, batch)[:count], atol=1e-6)


def test_compiles_once(trained: Trained) -> None:
    predict._probabilities.clear_cache()
    for count in (4, 7, 8, 30):
        predict_images(trained, images(count), batch_size=4)
    assert predict._probabilities._cache_size() == 1


def test_other_sizes_and_channels_as_at_training(trained: Trained) -> None:
    large = images(3, (20, 20, 1))
    as_trained = resize_images(to_channels(large, 3), (8, 12))
    np.testing.assert_allclose(predict_images(trained, large), by_hand(trained, as_trained), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (np.zeros((2, 8, 12, 3), np.float32), r"uint8\[n, H, W, C\], got float32\[2, 8, 12, 3\]"),
        (np.zeros((8, 12, 3), np.uint8), r"got uint8\[8, 12, 3\]"),
        (np.zeros((2, 8, 12, 4), np.uint8), "channels=3 cannot be made from 4 channels"),
    ],
)
def test_what_is_refused(trained: Trained, wrong: np.ndarray, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        predict_images(trained, wrong)


def test_python_of_the_page_runs(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "load_trained" in code]
    save_trained(tmp_path / "runs" / "plants", trained)
    monkeypatch.chdir(tmp_path)
    names = {"images": images(3)}
    exec(code, names)
    assert names["names"] == [trained.class_names[row.argmax()] for row in by_hand(trained, names["images"])]


def test_no_batch(trained: Trained) -> None:
    with pytest.raises(ArgumentError, match="batch_size must be at least 1, got 0"):
        predict_images(trained, images(1), batch_size=0)
