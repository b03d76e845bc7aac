"""One step: the loss it states, the state it gives up, the devices it does not depend on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dkjax.config import TrainConfig
from dkjax.errors import ConfigError
from dkjax.models.vit import Model, Params, vit
from dkjax.train.mesh import batch_sharding, train_mesh
from dkjax.train.optimizer import optimizer
from dkjax.train.state import TrainState, initial_state
from dkjax.train.step import make_eval_step, make_train_step, normalise

SMOOTHING = 0.2
CONFIG = TrainConfig(batch_size=8, learning_rate=1e-2, warmup_fraction=0.0, label_smoothing=SMOOTHING)
TX = optimizer(CONFIG, total_steps=20)
PRNG_KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def model() -> Model:
    return vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=16)


@pytest.fixture(scope="module")
def params(model: Model) -> Params:
    """Parameters whose head is not zero, so that the first logits say something."""
    params = model.init(jax.random.key(0), (8, 8, 1))
    head = np.random.default_rng(0).normal(size=params["head"]["kernel"].shape).astype(np.float32)
    return {**params, "head": {**params["head"], "kernel": jnp.asarray(head)}}


@pytest.fixture(scope="module")
def compiled(model: Model) -> dict:
    """The training step and the mesh, by the number of devices."""
    meshes = {count: train_mesh(8, jax.devices()[:count]) for count in (1, 4)}
    return {count: (make_train_step(model, TX, CONFIG, mesh), mesh) for count, mesh in meshes.items()}


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    return {"image": images, "label": rng.integers(0, 3, 8, dtype=np.int32)}


def run(compiled: dict, params: Params, devices: int, steps: int) -> tuple[TrainState, list[dict]]:
    train_step, mesh = compiled[devices]
    state, history = initial_state(params, TX, mesh), []
    for step in range(steps):
        placed = jax.device_put(batch(step), batch_sharding(mesh))
        state, metrics = train_step(state, placed, PRNG_KEY)
        history.append(jax.device_get(metrics))
    return state, history


def test_normalise() -> None:
    values = normalise(np.array([0, 51, 255], np.uint8))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [-1, -0.6, 1], atol=1e-6)


def test_loss_and_accuracy_are_those_of_numpy(model: Model, params: Params, compiled: dict) -> None:
    first = batch()
    logits = np.asarray(jax.jit(model.apply)(params, first["image"] / np.float32(127.5) - 1), np.float64)
    targets = np.full((8, 3), SMOOTHING / 3)
    targets[np.arange(8), first["label"]] += 1 - SMOOTHING
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    _, history = run(compiled, params, 4, 1)
    np.testing.assert_allclose(history[0]["loss"], -(targets * log_softmax).sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(history[0]["accuracy"], (logits.argmax(1) == first["label"]).mean())
    assert {value.dtype for value in history[0].values()} == {np.dtype(np.float32)}


def test_state_is_given_up_and_the_parameters_are_not(params: Params, compiled: dict) -> None:
    train_step, mesh = compiled[4]
    before = initial_state(params, TX, mesh)
    after, _ = train_step(before, jax.device_put(batch(), batch_sharding(mesh)), PRNG_KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((params, after)))
    assert int(after.step) == 1
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(after))


def test_new_steps_do_not_recompile(params: Params, compiled: dict) -> None:
    run(compiled, params, 4, 5)
    assert compiled[4][0]._cache_size() == 1


def test_one_device_equals_four(params: Params, compiled: dict) -> None:
    # The same sums in another order: equal but for float32 rounding, which AdamW scales up over the steps.
    (one, one_history), (four, four_history) = (run(compiled, params, devices, 5) for devices in (1, 4))
    for of_one, of_four in zip(one_history, four_history, strict=True):
        np.testing.assert_allclose(of_one["loss"], of_four["loss"], rtol=1e-4)
        assert of_one["accuracy"] == of_four["accuracy"]
    for name in ("head", "embedding"):
        np.testing.assert_allclose(one.params[name]["kernel"], four.params[name]["kernel"], atol=1e-3)


def gradient_of(params: Params, **changes: Any) -> tuple[Any, dict]:
    """What one step of plain gradient descent subtracts, and the metrics; in float64 the tolerance would be 1e-12."""
    model = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=16, **changes.pop("model", {}))
    mesh = train_mesh(16, accumulate=changes.get("accumulate", 1), fsdp=changes.get("fsdp", 1))
    tx = optax.sgd(1.0)
    train_step = make_train_step(model, tx, CONFIG.model_copy(update={"batch_size": 16, **changes}), mesh)
    both = {name: np.concatenate([batch(0)[name], batch(1)[name]]) for name in batch()}
    start = initial_state(params, tx, mesh)
    after, metrics = train_step(start, jax.device_put(both, batch_sharding(mesh)), PRNG_KEY)
    return jax.tree.map(lambda one, other: one - other, params, jax.device_get(after.params)), jax.device_get(metrics)


@pytest.mark.parametrize(
    "changes", [{"accumulate": 2}, {"accumulate": 4}, {"fsdp": 2}, {"model": {"remat": True}}], ids=str
)
def test_accumulating_is_the_same(params: Params, changes: dict[str, Any]) -> None:
    """And so is dividing the state, and computing activations again: the same gradient but for float32 rounding."""
    (expected, metrics), (found, other) = gradient_of(params), gradient_of(params, **changes)
    jax.tree.map(lambda *pair: np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-5), found, expected)
    np.testing.assert_allclose(other["loss"], metrics["loss"], rtol=1e-6)
    assert other["accuracy"] == metrics["accuracy"]
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 0.05


def test_mixup_trains_on_mixed_pairs(params: Params) -> None:
    plain, metrics = gradient_of(params)
    mixed, other = gradient_of(params, mixup=0.5)
    assert other["accuracy"] != metrics["accuracy"] or other["loss"] != metrics["loss"]
    assert not np.allclose(plain["head"]["kernel"], mixed["head"]["kernel"], atol=1e-3)


def test_patch_mix_trains_on_exchanged_patches(params: Params) -> None:
    plain, metrics = gradient_of(params)
    mixed, other = gradient_of(params, patch_mix=1.0)
    assert other["loss"] != metrics["loss"]
    assert not np.allclose(plain["head"]["kernel"], mixed["head"]["kernel"], atol=1e-3)


def test_patch_mix_leaves_no_common_order(params: Params) -> None:
    with pytest.raises(ConfigError, match=r"train\.patch_mix=1 .* model\.reading='equivariant' reads one order"):
        gradient_of(params, patch_mix=1.0, model={"reading": "equivariant"})


def test_mixup_of_a_sorted_reading_mixes_sorted_values(params: Params) -> None:
    """Images whose values changed places inside their patches, each in its own way, train alike."""
    model = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=16, reading="sorted")
    images = batch()["image"]
    n, height, width, channels = images.shape
    patches = images.reshape(n, height // 4, 4, width // 4, 4, channels).transpose(0, 1, 3, 2, 4, 5)
    mixed_up = np.random.default_rng(3).permuted(patches.reshape(-1, 16 * channels), axis=1).reshape(patches.shape)
    shuffled = batch() | {"image": mixed_up.transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)}
    assert (shuffled["image"] != images).any()
    mesh, tx = train_mesh(len(images)), optax.sgd(1.0)
    train_step = make_train_step(model, tx, CONFIG.model_copy(update={"mixup": 0.5}), mesh)
    found = [
        jax.device_get(
            train_step(initial_state(params, tx, mesh), jax.device_put(each, batch_sharding(mesh)), PRNG_KEY)
        )
        for each in (batch(), shuffled)
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)


class ByMean:
    """Names an image by its mean: dark, medium or bright."""

    def apply(self, params: Params, images: jax.Array) -> jax.Array:
        return -jnp.abs(images.mean((1, 2, 3))[:, None] - jnp.array([[-1.0, 0.0, 1.0]]))


@pytest.mark.parametrize("devices", [1, 4])
def test_masked_images_do_not_count(devices: int) -> None:
    mesh = train_mesh(8, jax.devices()[:devices])
    eval_step = make_eval_step(ByMean(), mesh)
    named = np.array([0, 1, 2, 2, 1, 0, 0, 1], np.int32)
    images = np.broadcast_to(np.array([0, 127, 255], np.uint8)[named][:, None, None, None], (8, 2, 2, 1))
    for mask in (np.ones(8, bool), np.arange(8) < 3, np.zeros(8, bool)):
        for right in (np.ones(8, bool), np.arange(8) >= 2, np.zeros(8, bool)):
            label = np.where(right, named, (named + 1) % 3).astype(np.int32)
            batch = {"image": images, "label": label, "mask": mask}
            counts = eval_step({}, jax.device_put(batch, batch_sharding(mesh)))
            assert counts.dtype == np.int32
            assert counts.tolist() == np.bincount(label[mask & right], minlength=3).tolist()
    assert eval_step._cache_size() == 1
