"""A ViT adapted to one key: it reads and learns encrypted images as the plain one reads and learns plain images."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dkjax.cipher import encrypt as cipher_encrypt
from dkjax.cipher import sample, schemes
from dkjax.errors import ArgumentError
from dkjax.models.adaptation import adapt_embedding, adapt_embedding_orthogonal
from dkjax.models.vit import Model, vit

# One compilation for all tests that use equal models on images of one shape.
apply = jax.jit(Model.apply, static_argnums=0)

PATCH = 4
HEIGHT, WIDTH = 12, 8
NUM_BLOCKS = (HEIGHT // PATCH) * (WIDTH // PATCH)


def make(pool, channels, seed=0):
    """A small ViT with a head that is not zero, images, and one key's two permutations."""
    rng = np.random.default_rng(seed)
    model = vit("mu", patch_size=PATCH, num_classes=5, pool=pool)
    params = model.init(jax.random.key(seed), (HEIGHT, WIDTH, channels))
    params["head"]["kernel"] = rng.normal(size=params["head"]["kernel"].shape).astype(np.float32)
    images = rng.normal(size=(6, HEIGHT, WIDTH, channels)).astype(np.float32)
    return model, params, images, rng.permutation(NUM_BLOCKS), rng.permutation(PATCH * PATCH * channels)


def encrypt(images, block_permutation, pixel_permutation):
    """One block and one value at a time, by the definition."""
    n, height, width, channels = images.shape
    corners = list(itertools.product(range(0, height, PATCH), range(0, width, PATCH)))
    encrypted = np.empty_like(images)
    for (row, column), source in zip(corners, block_permutation, strict=True):
        top, left = corners[source]
        values = images[:, top : top + PATCH, left : left + PATCH].reshape(n, -1)[:, pixel_permutation]
        encrypted[:, row : row + PATCH, column : column + PATCH] = values.reshape(n, PATCH, PATCH, channels)
    return encrypted


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("channels", [1, 3])
def test_adapted_model_reads_encrypted_images(pool, channels):
    model, params, images, blocks, pixels = make(pool, channels)
    encrypted = encrypt(images, blocks, pixels)
    plain_logits = apply(model, params, images)
    adapted_logits = apply(model, adapt_embedding(params, blocks, pixels), encrypted)
    np.testing.assert_allclose(adapted_logits, plain_logits, atol=1e-5, rtol=1e-5)
    assert np.abs(apply(model, params, encrypted) - plain_logits).max() > 1e-2


def make_matrix(channels, seed=0):
    num_values = PATCH * PATCH * channels
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(num_values, num_values)))[0].astype(np.float32)


def multiply(images, matrix):
    """Every block, as a row vector, times the matrix."""
    n, height, width, channels = images.shape
    encrypted = np.empty_like(images)
    for top, left in itertools.product(range(0, height, PATCH), range(0, width, PATCH)):
        block = images[:, top : top + PATCH, left : left + PATCH].reshape(n, -1)
        encrypted[:, top : top + PATCH, left : left + PATCH] = (block @ matrix).reshape(n, PATCH, PATCH, channels)
    return encrypted


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("channels", [1, 3])
def test_adapted_model_reads_images_under_an_orthogonal_matrix(pool, channels):
    model, params, images, *_ = make(pool, channels)
    matrix = make_matrix(channels)
    encrypted = multiply(images, matrix)
    plain_logits = apply(model, params, images)
    adapted = adapt_embedding_orthogonal(params, matrix)
    assert jax.tree.map(jnp.shape, adapted) == jax.tree.map(jnp.shape, params)
    np.testing.assert_allclose(apply(model, adapted, encrypted), plain_logits, atol=1e-5, rtol=1e-5)
    assert np.abs(apply(model, params, encrypted) - plain_logits).max() > 1e-2
    # A transposed matrix is another one.
    assert np.abs(apply(model, adapt_embedding_orthogonal(params, matrix.T), encrypted) - plain_logits).max() > 1e-2


@pytest.mark.parametrize("name", ["horio", "orthogonal"])
def test_adapts_to_what_the_cipher_samples(name):
    model, params, images, *_ = make("token", 3)
    scheme = schemes.by_name(name, block_size=PATCH)
    key = jax.random.key(5, impl="threefry2x32")
    drawn = sample(scheme, key, images.shape[1:])
    adapted = (adapt_embedding_orthogonal if name == "orthogonal" else adapt_embedding)(params, *drawn)
    encrypted = cipher_encrypt(scheme, key, images)
    np.testing.assert_allclose(apply(model, adapted, encrypted), apply(model, params, images), atol=1e-5, rtol=1e-5)


def test_transposed_matrix_restores_the_parameters():
    _, params, *_ = make("token", 3)
    matrix = make_matrix(3)
    restored = adapt_embedding_orthogonal(jax.jit(adapt_embedding_orthogonal)(params, matrix), matrix.T)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), restored, params)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m[:-1], r"matrix must have shape \(48, 48\).*got \(47, 48\)$"),
        (lambda m: m[None], r"got \(1, 48, 48\): these are the draws of several keys"),
        (lambda m: m.astype(np.int32), r"matrix must hold floating point numbers; got int32"),
        (lambda m: 2 * m, r"matrix must be orthogonal"),
    ],
)
def test_matrices_that_are_refused(change, text):
    _, params, *_ = make("token", 3)
    with pytest.raises(ArgumentError, match=text):
        adapt_embedding_orthogonal(params, change(make_matrix(3)))


def test_no_embedding_undoes_the_permutations_of_several_keys():
    _, params, _, blocks, pixels = make("token", 3)
    for drawn in ((np.stack([blocks, blocks]), pixels), (blocks, np.stack([pixels, pixels]))):
        with pytest.raises(ArgumentError, match="draws of several keys, and no single embedding undoes more than one"):
            adapt_embedding(params, *drawn)


def test_an_order_of_blocks_needs_a_position_embedding():
    _, params, _, blocks, pixels = make("token", 3)
    transformer = {name: leaf for name, leaf in params["Transformer"].items() if name != "posembed_input"}
    with pytest.raises(ArgumentError, match="params have no position embedding"):
        adapt_embedding({**params, "Transformer": transformer}, blocks, pixels)


@pytest.mark.parametrize("wrong", ["blocks", "pixels"])
def test_another_key_does_not_fit(wrong):
    model, params, images, blocks, pixels = make("token", 3)
    encrypted = encrypt(images, blocks, pixels)
    adapted = adapt_embedding(
        params,
        np.roll(blocks, 1) if wrong == "blocks" else blocks,
        np.roll(pixels, 1) if wrong == "pixels" else pixels,
    )
    assert np.abs(apply(model, adapted, encrypted) - apply(model, params, images)).max() > 1e-3


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_adapted_is_training_plain(pool, optimizer):
    model, params, images, blocks, pixels = make(pool, 3)
    encrypted = encrypt(images, blocks, pixels)
    labels = jnp.arange(len(images)) % 5
    tx = {"sgd": optax.sgd(0.1, momentum=0.9), "adamw": optax.adamw(1e-3, weight_decay=0.1)}[optimizer]

    @jax.jit
    def step(params, opt_state, images):
        def loss(params):
            logits = apply(model, params, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def train(params, images):
        opt_state = tx.init(params)
        for _ in range(5):
            params, opt_state = step(params, opt_state, images)
        return params

    plain = train(params, images)
    adapted = train(adapt_embedding(params, blocks, pixels), encrypted)
    # Compared by what they compute and by the leaves that adaptation moves. The key's bias is left out: its gradient
    # is zero but for rounding, which AdamW scales up to a full step, and no logit depends on it.
    plain_logits = apply(model, plain, images)
    np.testing.assert_allclose(apply(model, adapted, encrypted), plain_logits, atol=1e-3)
    assert np.abs(plain_logits - apply(model, params, images)).max() > 0.1
    expected = adapt_embedding(plain, blocks, pixels)
    np.testing.assert_allclose(adapted["embedding"]["kernel"], expected["embedding"]["kernel"], atol=1e-4)
    np.testing.assert_allclose(
        adapted["Transformer"]["posembed_input"]["pos_embedding"],
        expected["Transformer"]["posembed_input"]["pos_embedding"],
        atol=1e-4,
    )


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_inverse_restores_the_parameters(pool):
    _, params, _, blocks, pixels = make(pool, 3)
    adapted = adapt_embedding(params, blocks, pixels)
    restored = adapt_embedding(adapted, np.argsort(blocks), np.argsort(pixels))
    assert jax.tree.structure(adapted) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, restored, params)


def test_arguments_stay_as_they_were():
    _, params, _, blocks, pixels = make("token", 3)
    before = jax.tree.map(np.array, params)
    adapt_embedding(params, blocks, pixels)
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_jitted_with_traced_permutations_is_the_same():
    _, params, _, blocks, pixels = make("token", 3)
    jitted = jax.jit(adapt_embedding)(params, jnp.asarray(blocks), jnp.asarray(pixels))
    jax.tree.map(np.testing.assert_array_equal, jitted, adapt_embedding(params, blocks, pixels))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda b, p: (b[:-1], p), r"block_permutation must have shape \(6,\).*got \(5,\)"),
        (lambda b, p: (b, np.append(p, 48)), r"pixel_permutation must have shape \(48,\).*got \(49,\)"),
        (lambda b, p: (b[None], p), r"block_permutation must have shape"),
        (lambda b, p: (b, p.astype(np.float32)), r"pixel_permutation must hold integers; got float32"),
        (lambda b, p: (np.zeros_like(b), p), r"block_permutation must hold each of 0 to 5 once"),
        (lambda b, p: (b, p + 1), r"pixel_permutation must hold each of 0 to 47 once"),
    ],
)
def test_what_is_no_permutation_of_these_parameters_is_refused(change, text):
    _, params, _, blocks, pixels = make("token", 3)
    with pytest.raises(ArgumentError, match=text):
        adapt_embedding(params, *change(blocks, pixels))
