"""Trained parameters in the formats of others, and back."""

import json
import os
import stat

import jax
import numpy as np
import pytest
from made_up import (
    IMAGE,
    SQUARE,
    assert_same,
    flat,
    hugging_face_state,
    random_images,
    random_params,
    small,
    timm_state,
)
from safetensors.numpy import load_file

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.models.pretrained import FORMATS, describe, export_params, load_pretrained, timm_arguments
from dkjax.models.vit import vit

MODELS = {
    "token": small(),
    "mean": small(pool="mean"),
    "exact": small(gelu="exact", layer_norm_epsilon=1e-12),
    "tiny": vit("mu", patch_size=2, num_classes=1),
}
PAIRS = [
    (to, kind)
    for to in FORMATS
    for kind in MODELS
    if to != "stablehlo" and (to, kind) not in (("hf", "mean"), ("safetensors", "exact"))
]


@pytest.mark.parametrize("image_shape", [SQUARE, IMAGE, (16, 8, 1)])
@pytest.mark.parametrize(("to", "kind"), PAIRS)
def test_export_and_load_is_the_identity(tmp_path, to, kind, image_shape):
    model = MODELS[kind]
    params = random_params(model, image_shape)
    path = export_params(params, model, image_shape, tmp_path / "a", to=to)
    loaded, report = load_pretrained(path, model, image_shape, keep_head=True)
    assert_same(loaded, params)
    assert (report.missing, report.unexpected, report.reset, report.resized) == ((),) * 4
    # transformers reads grey images as RGB.
    of_grey = ("the sum over 3 channels, for grey images",) if (to, image_shape[2]) == ("hf", 1) else ()
    assert report.folded == of_grey
    if to != "npz":
        assert report.notes == ()
        assert describe(path).model() == model


@pytest.mark.parametrize(("to", "pool"), [("npz", "token"), ("npz", "mean"), ("safetensors", "token"), ("hf", "token")])
def test_without_positions_others_get_zeros(tmp_path, to, pool):
    with_positions, model = small(pool=pool), small(pool=pool, position_embedding=False)
    params = random_params(model, IMAGE)
    path = export_params(params, model, IMAGE, tmp_path / "a", to=to)
    loaded, report = load_pretrained(path, model, IMAGE, keep_head=True)
    assert_same(loaded, params)
    assert report.unexpected == ("Transformer/posembed_input/pos_embedding",)
    theirs, _ = load_pretrained(path, with_positions, IMAGE, keep_head=True)
    assert not theirs["Transformer"]["posembed_input"]["pos_embedding"].any()
    images = random_images(IMAGE)
    np.testing.assert_allclose(with_positions.apply(theirs, images), model.apply(params, images), atol=1e-5)


def test_a_class_token_is_dropped_with_the_positions(tmp_path):
    params, pooled = random_params(small(), IMAGE), small(pool="mean", position_embedding=False)
    path = export_params(params, small(), IMAGE, tmp_path / "a.npz", to="npz")
    loaded, report = load_pretrained(path, pooled, IMAGE, keep_head=True)
    assert set(report.unexpected) == {"cls", "Transformer/posembed_input/pos_embedding"}
    assert jax.tree.structure(loaded) == jax.tree.structure(random_params(pooled, IMAGE))


def test_npz_has_the_published_names(tmp_path):
    model = MODELS["token"]
    params = random_params(model)
    with np.load(export_params(params, model, SQUARE, tmp_path / "a.npz", to="npz"), allow_pickle=False) as archive:
        assert set(archive) == set(flat(params))
        assert archive["Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel"].shape == (24, 3, 8)


def test_safetensors_have_the_names_of_timm(tmp_path):
    model = MODELS["token"]
    params = random_params(model)
    state = load_file(export_params(params, model, SQUARE, tmp_path / "a.safetensors", to="safetensors"))
    expected = timm_state(params, model.depth)
    assert state.keys() == expected.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_folder_for_transformers(tmp_path):
    model = MODELS["token"]
    params = random_params(model, IMAGE)
    names = ["ant", "bee", "chaffinch", "dodo", "Eule und Ähre"]
    folder = export_params(params, model, IMAGE, tmp_path / "new" / "hf", to="hf", class_names=names)
    assert {file.name for file in folder.iterdir()} == {"config.json", "preprocessor_config.json", "model.safetensors"}
    state = load_file(folder / "model.safetensors")
    expected = hugging_face_state(params, model.depth)
    assert state.keys() == expected.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"]["4"] == "Eule und Ähre"
    assert (config["hidden_act"], config["layer_norm_eps"], config["image_size"]) == (
        "gelu_pytorch_tanh",
        1e-6,
        [8, 12],
    )
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["image_mean"] == preprocessor["image_std"] == [0.5] * 3
    assert preprocessor["size"] == {"height": 8, "width": 12}


@pytest.mark.parametrize(
    ("dtype", "reading", "pool"),
    [
        ("float32", "values", "token"),
        ("float32", "values", "mean"),
        ("bfloat16", "values", "token"),
        ("bfloat16", "values", "mean"),
        ("float32", "sorted", "token"),
        ("float32", "sorted", "mean"),
        ("float32", "sorted_channels", "token"),
        ("bfloat16", "sorted_pixels", "mean"),
        ("float32", "equivariant", "token"),
    ],
)
def test_stablehlo_gives_the_same_logits(tmp_path, dtype, reading, pool):
    model = small(pool=pool, dtype=dtype, reading=reading, relation_bias=reading != "values")
    params = random_params(model, IMAGE)
    path = export_params(params, model, IMAGE, tmp_path / "a.stablehlo", to="stablehlo")
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    for count in (1, 3):
        images = random_images(IMAGE, count)
        logits = exported.call(images)
        assert (logits.shape, logits.dtype) == ((count, 5), np.float32)
        tolerance = 1e-5 if dtype == "float32" else 5e-2
        np.testing.assert_allclose(logits, model.apply(params, images), atol=tolerance, rtol=tolerance)


def test_stablehlo_is_of_the_oldest_version(tmp_path):
    model = small()
    path = export_params(random_params(model, IMAGE), model, IMAGE, tmp_path / "a.stablehlo", to="stablehlo")
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert exported.mlir_module_serialized[4:22] == b"\rStableHLO_v1.17.0"


@pytest.mark.parametrize("to", FORMATS)
def test_same_parameters_give_the_same_bytes(tmp_path, to):
    model, params = MODELS["token"], random_params(MODELS["token"])
    first, second = (export_params(params, model, SQUARE, tmp_path / name, to=to) for name in "ab")
    for file in first.iterdir() if first.is_dir() else [first]:
        other = second / file.name if second.is_dir() else second
        assert file.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_files_appear_whole_or_not_at_all(tmp_path, to, monkeypatch):
    model, params = MODELS["token"], random_params(MODELS["token"])
    path = tmp_path / "a"
    path.write_bytes(b"what was there")

    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(KeyboardInterrupt):
            export_params(params, model, SQUARE, path, to=to)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
    export_params(params, model, SQUARE, path, to=to)
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        ({"pool": "mean"}, {"to": "hf"}, "pool='mean' has no counterpart in ViTForImageClassification"),
        ({"layer_norm_epsilon": 1e-5}, {"to": "safetensors"}, "layer_norm_epsilon=1e-05 has no counterpart in timm's"),
        ({"reading": "sorted"}, {"to": "npz"}, "reading='sorted' has no counterpart in other libraries"),
        ({"reading": "sorted"}, {"to": "safetensors"}, "reading='sorted' has no counterpart"),
        ({"reading": "sorted"}, {"to": "hf"}, "reading='sorted' has no counterpart"),
        ({"reading": "equivariant"}, {"to": "hf"}, "reading='equivariant' has no counterpart"),
        ({"relation_bias": True}, {"to": "npz"}, "relation_bias=true has no counterpart in other libraries"),
        ({}, {"to": "onnx"}, "to='onnx' is not one of npz, safetensors, hf, stablehlo"),
        ({}, {"to": "hf", "class_names": ["a"]}, "1 class names for num_classes=5"),
    ],
)
def test_what_has_no_counterpart_is_refused(tmp_path, settings, options, text):
    model = small(**settings)
    with pytest.raises(ConfigError, match=text):
        export_params(random_params(model), model, SQUARE, tmp_path / "a", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda params: params | {"cls": params["cls"][0]}, r"cls has shape \(1, 24\), expected \(1, 1, 24\)"),
        (lambda params: params | {"more": params["cls"]}, r"more has shape \(1, 1, 24\), expected None"),
        (lambda params: {"cls": params["cls"]}, r"has shape None, expected \(4, 4, 3, 24\)|has shape None"),
    ],
)
def test_parameters_of_another_model_are_refused(tmp_path, change, text):
    model = MODELS["token"]
    with pytest.raises(ArgumentError, match=f"params are not of this model: .*{text}"):
        export_params(change(random_params(model)), model, SQUARE, tmp_path / "a", to="npz")


@pytest.mark.parametrize("to", FORMATS)
def test_places_that_cannot_be_written(tmp_path, to):
    (tmp_path / "file").write_bytes(b"")
    model = MODELS["token"]
    with pytest.raises(DataError, match=r"cannot write .*: Not a directory"):
        export_params(random_params(model), model, SQUARE, tmp_path / "file" / "a", to=to)


@pytest.mark.parametrize("width", [3, 24, 49, 192, 1000])
def test_timm_computes_the_mlps_width_from_a_ratio(width):
    for mlp_dim in range(1, 3 * width, 7):
        model = vit("mu", patch_size=4, width=width, heads=1, mlp_dim=mlp_dim)
        assert int(width * timm_arguments(model, SQUARE)["mlp_ratio"]) == mlp_dim
