"""timm's and Hugging Face's safetensors, and what their companions say."""

import dataclasses
import json
import re

import ml_dtypes
import numpy as np
import pytest
from made_up import (
    SQUARE,
    assert_same,
    flat,
    hugging_face_state,
    random_images,
    random_params,
    small,
    timm_state,
    write_folder,
)
from safetensors.numpy import save_file

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, describe, export_params, load_pretrained

MODEL = small(gelu="exact")
PARAMS = random_params(MODEL)
TIMM = timm_state(PARAMS, MODEL.depth)
HUGGING_FACE = hugging_face_state(PARAMS, MODEL.depth)
CONFIG = {
    "model_type": "vit",
    "hidden_act": "gelu",
    "num_attention_heads": 3,
    "layer_norm_eps": 1e-12,
    "image_size": 8,
    "patch_size": 4,
}


def load(path, model=MODEL, **options):
    return load_pretrained(path, model, SQUARE, keep_head=True, **options)


def scaled(params, gammas):
    """What LayerScale computes, written into the weights."""
    arrays = {name: array.copy() for name, array in flat(params).items()}
    for (layer, branch), gamma in gammas.items():
        name = ("MultiHeadDotProductAttention_1/out", "MlpBlock_3/Dense_1")[branch]
        for leaf in ("kernel", "bias"):
            arrays[f"Transformer/encoderblock_{layer}/{name}/{leaf}"] *= gamma
    return arrays


GAMMAS = {
    (layer, branch): np.random.default_rng(layer + 2 * branch).normal(size=24).astype(np.float32)
    for layer in range(2)
    for branch in range(2)
}


def test_timm_names(tmp_path):
    save_file(TIMM, tmp_path / "a.safetensors")
    params, report = load(tmp_path / "a.safetensors")
    assert_same(params, PARAMS)
    assert report.notes == ("the checkpoint does not say how many attention heads it has; taken to be 3",)
    description = describe(tmp_path / "a.safetensors")
    assert (description.heads, description.mean, description.gelu) == (None, None, "exact")
    assert description.model(heads=3) == MODEL


@pytest.mark.parametrize("prefix", ["vit.", ""])
def test_hugging_face_names(tmp_path, prefix):
    folder = write_folder(tmp_path / "a", hugging_face_state(PARAMS, MODEL.depth, prefix=prefix), config=CONFIG)
    params, report = load(folder)
    assert_same(params, PARAMS)
    assert report.notes == (
        "the checkpoint's layer norms have epsilon 1e-12 and the model layer_norm_epsilon=1e-06: outputs differ a "
        "little",
    )
    description = describe(folder)
    assert (description.heads, description.grid, description.layer_norm_epsilon) == (3, (2, 2), 1e-12)
    assert load(folder, description.model())[1].notes == ()


def test_a_file_does_without_its_companions(tmp_path):
    save_file(HUGGING_FACE, tmp_path / "b.safetensors")
    assert_same(load(tmp_path / "b.safetensors")[0], PARAMS)
    assert describe(tmp_path / "b.safetensors").heads is None


@pytest.mark.parametrize("state", [TIMM, HUGGING_FACE])
def test_attention_without_biases_has_biases_of_zero(tmp_path, state):
    without = {k: v for k, v in state.items() if not re.search(r"(qkv|query|key|value)\.bias", k)}
    assert len(without) < len(state)
    save_file(without, tmp_path / "a.safetensors")
    params, _ = load(tmp_path / "a.safetensors")
    expected = {k: 0 * v if re.search(r"(query|key|value)/bias", k) else v for k, v in flat(PARAMS).items()}
    assert all(np.array_equal(array, expected[name]) for name, array in flat(params).items())


@pytest.mark.parametrize("prefix", ["vit.", ""])
def test_names_in_memory_are_those_of_files(tmp_path, prefix):
    state = hugging_face_state(PARAMS, MODEL.depth, prefix=prefix)
    for theirs, ours in {
        "encoder.layer.": "layers.",
        "attention.attention.query.": "attention.q_proj.",
        "attention.attention.key.": "attention.k_proj.",
        "attention.attention.value.": "attention.v_proj.",
        "attention.output.dense.": "attention.o_proj.",
        "intermediate.dense.": "mlp.fc1.",
        "output.dense.": "mlp.fc2.",
    }.items():
        state = {name.replace(theirs, ours): array for name, array in state.items()}
    assert f"{prefix}layers.0.attention.k_proj.weight" in state
    save_file(state, tmp_path / "a.safetensors")
    params, report = load(tmp_path / "a.safetensors")
    assert_same(params, PARAMS)
    assert report.unexpected == ()


def wide(width, *, class_token=True):
    """Weights of one block at a width, in timm's names."""
    model = small(width=width, mlp_dim=8, depth=1, heads=1, pool="token" if class_token else "mean")
    return timm_state(random_params(model), 1)


@pytest.mark.parametrize(
    ("width", "class_token", "architecture", "heads", "gelu"),
    [
        (768, True, None, 12, "exact"),
        (1280, True, "vit_huge_patch14_224.orig_in21k", 16, "exact"),
        (1280, True, "deit3_huge_patch14_224", 16, "exact"),
        (768, False, "vit_base_patch16_gap_224", 16, "exact"),
        (768, False, "vit_base_patch16_siglip_gap_224", 12, "exact"),
        (768, False, "vit_base_patch32_siglip_gap_256", 12, "tanh"),
        (1152, False, "vit_so400m_patch14_siglip_gap_224", 16, "exact"),
        (1152, False, "vit_so400m_patch16_siglip_gap_256", 16, "tanh"),
        (1536, False, "vit_giantopt_patch16_siglip_gap_256", 16, "tanh"),
    ],
)
def test_the_name_of_the_architecture_tells_heads_and_gelu(tmp_path, width, class_token, architecture, heads, gelu):
    folder = write_folder(tmp_path / "a", wide(width, class_token=class_token), config={"architecture": architecture})
    assert (describe(folder).heads, describe(folder).gelu) == (heads, gelu)
    if architecture:
        (folder / "config.json").unlink()
        with pytest.raises(DataError, match=f"heads it has or which GELU, and ViTs of width {width} differ; set pretr"):
            describe(folder)
        assert describe(folder, architecture=architecture) == describe(folder, architecture=architecture.split(".")[0])
        assert describe(folder, architecture=architecture).heads == heads


def test_names_of_architectures_that_make_no_sense(tmp_path):
    folder = write_folder(tmp_path / "a", wide(192), config={"architecture": "vit_huge_patch14_224"})
    with pytest.raises(DataError, match="width=192, and 'vit_huge_patch14_224' has 1280: it is another network"):
        describe(folder)
    with pytest.raises(ConfigError, match=r"architecture 'resnet50' is not known; .*\{\"model_args\": "):
        describe(folder, architecture="resnet50")
    np.savez(tmp_path / "a.npz", **flat(PARAMS))
    with pytest.raises(ConfigError, match=r"is for safetensors; .* is another file: leave it away"):
        describe(tmp_path / "a.npz", architecture="vit_base_patch16_224")
    with pytest.raises(ConfigError, match="does not say how many attention heads it has: say heads"):
        save_file(TIMM, tmp_path / "b.safetensors")
        describe(tmp_path / "b.safetensors").model()


@pytest.mark.parametrize("pool", ["map", "avg", 3])
def test_heads_that_read_something_else_are_refused(tmp_path, pool):
    folder = write_folder(tmp_path / "a", TIMM, config={"model_args": {"num_heads": 3, "global_pool": pool}})
    with pytest.raises(DataError, match=f"its head reads global_pool={pool!r}"):
        describe(folder)


@pytest.mark.parametrize("name", ["pooler.dense.weight", "embeddings.mask_token"])
def test_parts_that_the_vit_does_without_are_listed(tmp_path, name):
    save_file(HUGGING_FACE | {f"vit.{name}": np.zeros(2, np.float32)}, tmp_path / "b.safetensors")
    assert load(tmp_path / "b.safetensors")[1].unexpected == (f"vit.{name}",)


@pytest.mark.parametrize("head", ["head.0", "head.1", "head.fc"])
def test_a_head_of_one_layer_is_the_head(tmp_path, head):
    names = {name: name.replace("head.", f"{head}.") for name in TIMM}
    save_file({names[name]: array for name, array in TIMM.items()}, tmp_path / "a.safetensors")
    params, report = load(tmp_path / "a.safetensors")
    assert_same(params, PARAMS)
    assert report.unexpected == ()


@pytest.mark.parametrize("head", ["head.0", "head.1", "head.fc"])
def test_heads_of_several_layers_start_from_zero(tmp_path, head):
    rest = {name: array for name, array in TIMM.items() if not name.startswith("head.")}
    names = [f"{head}.weight", f"{head}.bias", "head.4.weight", "head.4.bias"]
    arrays = [np.ones(shape, np.float32) for shape in [(7, 24), (7,), (5, 7), (5,)]]
    save_file(rest | dict(zip(names, arrays, strict=True)), tmp_path / "a.safetensors")
    params, report = load_pretrained(tmp_path / "a.safetensors", MODEL, SQUARE)
    assert_same(params, PARAMS | {"head": {name: 0 * array for name, array in PARAMS["head"].items()}})
    assert set(names) <= set(report.unexpected)


def test_pre_logits_of_timm_take_the_head_along(tmp_path):
    save_file(TIMM | {"pre_logits.fc.weight": np.zeros((24, 24), np.float32)}, tmp_path / "a.safetensors")
    _, report = load_pretrained(tmp_path / "a.safetensors", MODEL, SQUARE)
    assert report.unexpected == ("pre_logits.fc.weight", "head.weight", "head.bias")
    with pytest.raises(ConfigError, match="no head that could be kept"):
        load(tmp_path / "a.safetensors")


def test_layer_scale_of_timm(tmp_path):
    gammas = {f"blocks.{layer}.ls{branch + 1}.gamma": gamma for (layer, branch), gamma in GAMMAS.items()}
    save_file(TIMM | gammas, tmp_path / "a.safetensors")
    params, report = load(tmp_path / "a.safetensors")
    expected = scaled(PARAMS, GAMMAS)
    for name, array in flat(params).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert report.folded == ("LayerScale",)
    largest = max(np.abs(gamma).max() for gamma in GAMMAS.values())
    assert report.notes[-1].startswith(
        f"LayerScale, of at most {largest:.2g}, was taken into other weights: set layer_s"
    )


def test_layer_scale_is_kept_where_the_model_has_it(tmp_path):
    gammas = {f"blocks.{layer}.ls{branch + 1}.gamma": gamma for (layer, branch), gamma in GAMMAS.items()}
    save_file(TIMM | gammas, tmp_path / "a.safetensors")
    model = dataclasses.replace(MODEL, layer_scale=True)
    assert describe(tmp_path / "a.safetensors").layer_scale
    kept, report = load_pretrained(tmp_path / "a.safetensors", model, SQUARE, keep_head=True)
    folded, _ = load(tmp_path / "a.safetensors")
    assert report.folded == ()
    for (layer, branch), gamma in GAMMAS.items():
        scale = kept["Transformer"][f"encoderblock_{layer}"][f"LayerScale_{branch}"]["scale"]
        np.testing.assert_array_equal(scale, gamma)
    images = random_images(SQUARE)
    np.testing.assert_allclose(model.apply(kept, images), MODEL.apply(folded, images), rtol=1e-4, atol=1e-4)
    for to in ("npz", "safetensors"):
        export_params(kept, model, SQUARE, tmp_path / "b", to=to)
        again, _ = load_pretrained(tmp_path / "b", MODEL, SQUARE, keep_head=True)
        assert_same(again, folded)


def test_dinov2_of_hugging_face(tmp_path):
    state = hugging_face_state(PARAMS, MODEL.depth, family="dinov2", prefix="dinov2.")
    state |= {
        f"dinov2.encoder.layer.{layer}.layer_scale{branch + 1}.lambda1": gamma
        for (layer, branch), gamma in GAMMAS.items()
    }
    state |= {"dinov2.embeddings.mask_token": np.zeros((1, 24), np.float32), "classifier.bias": np.zeros(9, np.float32)}
    preprocessor = {"image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}
    folder = write_folder(
        tmp_path / "a", state, config=CONFIG | {"layer_norm_eps": 1e-6}, preprocessor_config=preprocessor
    )
    params, report = load_pretrained(folder, MODEL, SQUARE)
    expected = scaled(PARAMS, GAMMAS)
    for name, array in flat(params).items():
        if name.startswith("Transformer/"):
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert report.unexpected == ("classifier.bias", "dinov2.embeddings.mask_token")
    assert report.folded == (
        "LayerScale",
        "mean 0.485/0.456/0.406 and standard deviation 0.229/0.224/0.225 of the pixels",
    )


def test_normalisation_is_given_or_read(tmp_path):
    save_file(TIMM, tmp_path / "model.safetensors")
    given, report = load(tmp_path, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert "0.485" in report.folded[0]
    config = {"pretrained_cfg": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    read, _ = load(tmp_path)
    assert_same(given, read)
    assert_same(load(tmp_path, mean=(0.5,) * 3, std=(0.5,) * 3)[0], PARAMS)
    # The same pixels, each normalised its own way, give the same logits.
    images = random_images()
    theirs = ((images + 1) / 2 - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    np.testing.assert_allclose(MODEL.apply(read, images), MODEL.apply(PARAMS, theirs), atol=1e-4)


def test_images_that_are_not_normalised(tmp_path):
    folder = write_folder(tmp_path / "a", HUGGING_FACE, config=CONFIG, preprocessor_config={"do_normalize": False})
    images = random_images()
    np.testing.assert_allclose(MODEL.apply(load(folder)[0], images), MODEL.apply(PARAMS, (images + 1) / 2), atol=1e-4)


def test_bfloat16_of_safetensors(tmp_path):
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in TIMM.items()}
    save_file(half, tmp_path / "a.safetensors")
    params, _ = load(tmp_path / "a.safetensors")
    for name, array in flat(params).items():
        np.testing.assert_array_equal(array, flat(PARAMS)[name].astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize(
    "name",
    [
        "norm_pre.weight",
        "fc_norm.weight",
        "reg_token",
        "dist_token",
        "attn_pool.latent",
        "blocks.0.attn.q_norm.weight",
        "blocks.1.mlp.fc3.bias",
    ],
)
def test_other_networks_of_timm_are_refused(tmp_path, name):
    save_file(TIMM | {name: np.zeros(24, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=f"no plain ViT: it has {name}"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda state: {name: state[name] for name in state if name != "blocks.1.norm2.bias"},
            "LayerNorm_2/bias missing",
        ),
        (lambda state: state | {"a." + name: state[name] for name in state}, "holds 2 ViTs"),
        (
            lambda state: state | {"norm.bias": state["norm.bias"][None]},
            r"norm.bias has an impossible shape, \[1, 24\]",
        ),
        (lambda state: state | {"blocks.0.attn.qkv.bias": np.zeros(71, np.float32)}, r"impossible shape, \[71\]"),
        (lambda state: state | {"norm.bias": np.zeros(24, np.int32)}, "holds int32"),
        (lambda state: {"weight": state["norm.bias"]}, "holds no ViT with timm's or Hugging Face's names: weight"),
        (lambda state: {}, "it is empty"),
    ],
)
def test_incomplete_weights_are_refused(tmp_path, change, text):
    save_file(change(TIMM), tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=text):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (b"[]", "config.json holds no JSON object"),
        (b"{", "config.json is not JSON"),
        (b"[" * 10**5, "config.json is not JSON"),
        (b"\xff", "config.json is not JSON"),
        (b'{"num_attention_heads": -3}', "num_attention_heads=-3 is no positive number"),
        (b'{"num_attention_heads": 5}', "heads=5.*set heads=5"),
        (b'{"hidden_act": "relu"}', "hidden_act='relu', not a GELU"),
        (b'{"layer_norm_eps": "x"}', "layer_norm_eps=x is no small number"),
        (b'{"image_size": [8, 8, 8], "patch_size": 4}', "image_size"),
        (b" " * ((1 << 24) + 1), "longer than"),
    ],
)
def test_impossible_companions_are_refused(tmp_path, config, text):
    folder = write_folder(tmp_path / "a", HUGGING_FACE)
    (folder / "config.json").write_bytes(config)
    with pytest.raises((DataError, ConfigError), match=text) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
