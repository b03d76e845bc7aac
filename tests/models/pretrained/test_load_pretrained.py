"""Fitting a checkpoint to a model and its images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up import IMAGE, SQUARE, assert_same, flat, random_images, random_params, small

from dkjax.errors import ArgumentError, ConfigError
from dkjax.models.pretrained import describe, load_pretrained, resize_position_embedding
from dkjax.models.vit import vit

POSITIONS = "Transformer/posembed_input/pos_embedding"
MODEL = small()
PARAMS = random_params(MODEL)


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "a.npz", **flat(PARAMS))
    return tmp_path / "a.npz"


@pytest.mark.parametrize("image_shape", [SQUARE, IMAGE, (16, 8, 1)])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_params_are_like_those_of_init(path, image_shape, pool):
    model = small(pool=pool, num_classes=7)
    params, report = load_pretrained(path, model, image_shape)
    fresh = jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(fresh)
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(fresh), strict=True):
        assert isinstance(ours, jax.Array)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert not model.apply(params, jnp.zeros((2, *image_shape))).any()
    assert report.reset == ("head/bias", "head/kernel")
    assert report.missing == ()
    assert report.loaded == len(flat(params)) - 2
    assert report.unexpected == (("cls",) if pool == "mean" else ())


def test_head_is_kept_on_request_only(path):
    kept, report = load_pretrained(path, MODEL, SQUARE, keep_head=True)
    assert_same(kept, PARAMS)
    assert report.reset == ()
    reset, _ = load_pretrained(path, MODEL, SQUARE)
    assert not any(np.any(leaf) for leaf in reset["head"].values())
    with pytest.raises(ConfigError, match=r"head for 5 classes and the model has num_classes=7; leave keep_head away"):
        load_pretrained(path, small(num_classes=7), SQUARE, keep_head=True)


def test_a_relation_bias_starts_as_none(path):
    model = small(relation_bias=True)
    params, report = load_pretrained(path, model, SQUARE)
    drawn = model.init(jax.random.key(0), SQUARE)["Transformer"]
    assert_same(params["Transformer"]["relations"], drawn["relations"])
    new = {name for name in flat(params) if name not in flat(PARAMS)}
    assert set(report.drawn) == new
    assert {name.split("/")[-2] for name in new} == {"relations", "relation_bias"}
    assert not any(flat(params)[name].any() for name in new if "relation_bias" in name)
    assert report.loaded == len(flat(PARAMS)) - 2


@pytest.mark.parametrize("reading", ["sorted", "equivariant"])
def test_for_another_reading_the_embedding_is_drawn(path, reading):
    model = small(reading=reading)
    params, report = load_pretrained(path, model, SQUARE)
    assert_same(params["Transformer"], PARAMS["Transformer"])
    fresh = model.init(jax.random.key(0), SQUARE)["embedding"]
    assert_same(params["embedding"], fresh)
    assert report.drawn == tuple(f"embedding/{name}" for name in flat(fresh))
    assert report.loaded == len(flat(PARAMS)) - 4
    assert report.notes == (
        f"the checkpoint has reading='values' and the model reading={reading!r}: its patch embedding is of no use",
    )


@pytest.mark.parametrize(("patch_size", "image_shape"), [(4, SQUARE), (2, (8, 8, 3)), (4, (8, 8, 2))])
def test_a_new_embedding_reads_other_patches(path, patch_size, image_shape):
    model = small(patch_size=patch_size)
    params, report = load_pretrained(path, model, image_shape, new_embedding=True)
    assert_same(params["Transformer"]["encoder_norm"], PARAMS["Transformer"]["encoder_norm"])
    assert_same(params["embedding"], model.init(jax.random.key(0), image_shape)["embedding"])
    assert "starting from random numbers: embedding/bias, embedding/kernel" in report.lines()
    assert report.notes == ()


def test_without_layer_scale_it_starts_at_one(path):
    model = small(layer_scale=True)
    params, report = load_pretrained(path, model, SQUARE, keep_head=True)
    images = random_images(SQUARE)
    np.testing.assert_allclose(model.apply(params, images), MODEL.apply(PARAMS, images), atol=1e-6)
    assert len(report.missing) == 4
    assert all("LayerScale" in name for name in report.missing)


def test_a_missing_head_is_reported(tmp_path):
    headless = {name: array for name, array in flat(PARAMS).items() if not name.startswith("head/")}
    np.savez(tmp_path / "a.npz", **headless)
    assert load_pretrained(tmp_path / "a.npz", MODEL, SQUARE)[1].missing == ("head/bias", "head/kernel")
    assert describe(tmp_path / "a.npz").num_classes is None
    with pytest.raises(ConfigError, match="no head that could be kept"):
        load_pretrained(tmp_path / "a.npz", MODEL, SQUARE, keep_head=True)
    with pytest.raises(ConfigError, match="say num_classes"):
        describe(tmp_path / "a.npz").model()


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
def test_positions_are_resized(path, resize):
    params, report = load_pretrained(path, MODEL, (16, 12, 3), resize=resize)
    expected = resize_position_embedding(flat(PARAMS)[POSITIONS], (4, 3), method=resize)
    np.testing.assert_array_equal(flat(params)[POSITIONS], expected)
    assert report.resized == (f"{POSITIONS} from 2x2 to 4x3, {resize}",)
    assert report.lines()[-1] == f"resized: {report.resized[0]}"


def test_grids_that_are_no_squares(tmp_path):
    params = random_params(MODEL, (8, 32, 3))
    np.savez(tmp_path / "a.npz", **flat(params))
    load = load_pretrained
    # Sixteen positions are taken for a square, unless one says what they are.
    assert load(tmp_path / "a.npz", MODEL, (8, 32, 3))[1].resized
    assert_same(load(tmp_path / "a.npz", MODEL, (8, 32, 3), grid=(2, 8), keep_head=True)[0], params)
    with pytest.raises(ArgumentError, match=r"17 position embeddings, which are no grid of 3x3"):
        load(tmp_path / "a.npz", MODEL, (8, 32, 3), grid=(3, 3))
    np.savez(tmp_path / "b.npz", **flat(random_params(MODEL, IMAGE)))
    assert load(tmp_path / "b.npz", MODEL, IMAGE)[1].resized == ()
    with pytest.raises(ArgumentError, match=r"7 position embeddings, which are no square: say grid="):
        load(tmp_path / "b.npz", MODEL, SQUARE)


def test_grey_images(path):
    images = random_images((8, 8, 1))
    params, report = load_pretrained(path, MODEL, (8, 8, 1), keep_head=True)
    logits = MODEL.apply(params, images)
    np.testing.assert_allclose(logits, MODEL.apply(PARAMS, np.repeat(images, 3, axis=-1)), atol=1e-4)
    assert report.folded == ("the sum over 3 channels, for grey images",)


def test_mean_pooling_drops_the_class_token(path):
    params, _ = load_pretrained(path, small(pool="mean"), SQUARE, keep_head=True)
    assert "cls" not in params
    np.testing.assert_array_equal(flat(params)[POSITIONS], flat(PARAMS)[POSITIONS][:, 1:])


@pytest.mark.parametrize(
    ("settings", "image_shape", "text"),
    [
        ({"width": 36}, SQUARE, r"width=24, and the model here has width=36; set width=24$"),
        ({"heads": 4}, SQUARE, "heads=3, and the model here has heads=4"),
        ({"depth": 3, "mlp_dim": 8}, SQUARE, "depth=2, mlp_dim=40, and the model here has depth=3, mlp_dim=8"),
        (
            {"patch_size": 8},
            SQUARE,
            "patch_size=4 and the model has patch_size=8; set patch_size=4, .*or new_embedding=true",
        ),
        ({}, (8, 8, 2), "images of 3 channels, and these have 2; set new_embedding=true"),
        ({}, (8, 9, 3), "patch_size=4 does not divide width=9"),
    ],
)
def test_other_models_are_refused(path, settings, image_shape, text):
    with pytest.raises(ConfigError, match=text):
        load_pretrained(path, small(**settings), image_shape)


def test_a_known_size_is_called_by_its_variant(tmp_path):
    model = vit("mu", patch_size=4, num_classes=5)
    np.savez(tmp_path / "a.npz", **flat(random_params(model)))
    with pytest.raises(ConfigError, match=r'set variant="mu"$'):
        load_pretrained(tmp_path / "a.npz", MODEL, SQUARE)


def test_a_class_token_is_not_made_up(tmp_path):
    np.savez(tmp_path / "a.npz", **flat(random_params(small(pool="mean"))))
    with pytest.raises(ConfigError, match='no class token; set pool="mean"'):
        load_pretrained(tmp_path / "a.npz", MODEL, SQUARE)


def test_another_gelu_is_noted(path):
    _, report = load_pretrained(path, small(gelu="exact"), SQUARE)
    assert report.lines()[-1] == (
        "the checkpoint was trained with the tanh GELU and the model has gelu='exact'; set gelu='tanh' for the same "
        "outputs"
    )


def test_normalisation_must_fit_the_channels(path):
    with pytest.raises(ArgumentError, match="one number for each of 3 channels"):
        load_pretrained(path, MODEL, SQUARE, mean=(0.1,), std=(0.2,))


def test_long_lists_are_cut(tmp_path):
    more = {f"pre_logits/{i:02d}": np.zeros(1) for i in range(20)}
    np.savez(tmp_path / "a.npz", **flat(PARAMS), **more)
    _, report = load_pretrained(tmp_path / "a.npz", MODEL, SQUARE)
    assert len(report.unexpected) == 22
    assert "pre_logits/07 and 14 more" in report.lines()[2]
