"""Google's `.npz`: every generation of names, and what is refused."""

import ml_dtypes
import numpy as np
import pytest
from made_up import IMAGE, SQUARE, assert_same, flat, random_params, small

from dkjax.errors import DataError
from dkjax.models.pretrained import describe, load_pretrained

MODEL = small()
PARAMS = random_params(MODEL)
ARRAYS = flat(PARAMS)
POSITIONS = "Transformer/posembed_input/pos_embedding"


def save(path, arrays):
    np.savez(path, **arrays)
    return path


def prefixed(prefix, arrays):
    return {prefix + name: array for name, array in arrays.items()}


def renumbered(arrays):
    """Each kind of layer counted from zero, as Flax does now."""
    numbers = {
        "LayerNorm_2": "LayerNorm_1",
        "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
        "MlpBlock_3": "MlpBlock_0",
    }
    renamed = {}
    for name, array in arrays.items():
        for old, new in numbers.items():
            name = name.replace(old, new)
        renamed[name] = array
    return renamed


def big_vision(arrays):
    """Positions at the top, without a row for the class token, which is added later."""
    renamed = renumbered(arrays)
    positions = renamed.pop(POSITIONS)
    renamed["cls"] = renamed["cls"] + positions[:, :1]
    renamed["pos_embedding"] = positions[:, 1:]
    return renamed


def scanned(arrays):
    """All blocks in one array, one after the other."""
    first = {name: array for name, array in arrays.items() if "encoderblock_0" in name}
    rest = {name: array for name, array in arrays.items() if "encoderblock_" not in name}
    for name, array in first.items():
        rest[name.replace("encoderblock_0", "encoderblock")] = np.stack(
            [array, arrays[name.replace("encoderblock_0", "encoderblock_1")]]
        )
    return rest


def moved(arrays):
    """Positions in the encoder, but in no module of their own."""
    arrays = dict(arrays)
    arrays["Transformer/pos_embedding"] = arrays.pop(POSITIONS)
    return arrays


def with_pre_logits(arrays):
    return arrays | {"pre_logits/kernel": np.zeros((24, 24)), "pre_logits/bias": np.zeros(24)}


SAME = {
    "published": lambda arrays: arrays,
    "renumbered": renumbered,
    "positions in the encoder": lambda arrays: renumbered(moved(arrays)),
    "optimizer": lambda arrays: prefixed("opt/target/", arrays) | {"opt/state/step": np.zeros(())},
    "parameters": lambda arrays: prefixed("params/", renumbered(arrays)),
    "two towers": lambda arrays: prefixed("params/img/", renumbered(arrays)) | {"params/txt/head/kernel": np.zeros(2)},
    "image tower": lambda arrays: prefixed("img/", renumbered(arrays)),
    "scanned": lambda arrays: prefixed("params/", scanned(renumbered(arrays))),
    "pre_logits": with_pre_logits,
}


@pytest.mark.parametrize("generation", SAME)
def test_every_generation_of_names(tmp_path, generation):
    path = save(tmp_path / "a.npz", SAME[generation](ARRAYS))
    params, report = load_pretrained(path, MODEL, SQUARE, keep_head=generation != "pre_logits")
    expected = (
        PARAMS if generation != "pre_logits" else PARAMS | {"head": {k: 0 * v for k, v in PARAMS["head"].items()}}
    )
    assert_same(params, expected)
    outside = {"optimizer": "opt/state/step", "two towers": "params/txt/head/kernel"}
    expected = {
        "pre_logits": {"pre_logits/kernel", "pre_logits/bias", "head/kernel", "head/bias"},
    }.get(generation, {outside[generation]} if generation in outside else set())
    assert set(report.unexpected) == expected


@pytest.mark.parametrize("wrap", [lambda a: a, scanned])
def test_class_token_without_a_position(tmp_path, wrap):
    params, _ = load_pretrained(save(tmp_path / "a.npz", wrap(big_vision(ARRAYS))), MODEL, SQUARE, keep_head=True)
    expected = flat(PARAMS)
    expected["cls"] = expected["cls"] + expected[POSITIONS][:, :1]
    expected[POSITIONS] = expected[POSITIONS] * np.array([0, 1, 1, 1, 1])[:, None].astype(np.float32)
    for name, array in flat(params).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_mean_pooling_of_big_vision(tmp_path):
    model = small(pool="mean")
    arrays = renumbered(flat(random_params(model)))
    arrays["pos_embedding"] = arrays.pop(POSITIONS)
    path = save(tmp_path / "a.npz", arrays)
    description = describe(path)
    assert (description.pool, description.grid, description.format) == ("mean", (2, 2), "big_vision .npz")
    assert description.model() == model
    params, report = load_pretrained(path, model, SQUARE, keep_head=True)
    assert_same(params, random_params(model))
    assert report.lines() == [f"{path}: big_vision .npz, {len(flat(params))} arrays loaded"]


def test_fixed_positions_are_computed(tmp_path):
    model = small(pool="mean")
    arrays = renumbered(flat(random_params(model)))
    del arrays[POSITIONS]
    params, report = load_pretrained(save(tmp_path / "a.npz", arrays), model, IMAGE)
    positions = flat(params)[POSITIONS]
    assert positions.shape == (1, 6, 24)
    # Row 1, column 2: sines and cosines of the column, then of the row, at six frequencies.
    omega = 10_000.0 ** -(np.arange(6) / 5)
    expected = np.concatenate([np.sin(2 * omega), np.cos(2 * omega), np.sin(omega), np.cos(omega)])
    np.testing.assert_allclose(positions[0, 5], expected, atol=1e-6)
    assert report.notes == ("the position embedding is the fixed one of sines and cosines, computed anew",)


def test_bfloat16_is_read(tmp_path):
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in ARRAYS.items()}
    params, _ = load_pretrained(save(tmp_path / "a.npz", half), MODEL, SQUARE, keep_head=True)
    for name, array in flat(params).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, half[name].astype(np.float32))


def test_description(tmp_path):
    description = describe(save(tmp_path / "a.npz", ARRAYS))
    assert description.format == "Google ViT .npz"
    assert (description.gelu, description.layer_norm_epsilon, description.channels) == ("tanh", 1e-6, 3)
    assert description.model() == MODEL
    assert description.model(num_classes=7).num_classes == 7


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"MAPHead_0/probe": np.zeros((1, 1, 24))}, "MAPHead_0/probe"),
        ({"probe": np.zeros((1, 1, 24))}, "probe"),
        ({"conv_root/kernel": np.zeros((7, 7, 3, 8))}, "conv_root/kernel"),
        ({"Transformer/encoderblock_0/LayerNorm_5/scale": np.zeros(24)}, "LayerNorm_5"),
        ({"Transformer/encoderblock_0/Moe_0/scale": np.zeros(24)}, "Moe_0"),
        ({"Transformer/encoderblock_1/MlpBlock_3/Dense_2/bias": np.zeros(24)}, "Dense_2"),
    ],
)
def test_other_networks_are_refused(tmp_path, more, named):
    with pytest.raises(DataError, match=f"no plain ViT.*{named}"):
        load_pretrained(save(tmp_path / "a.npz", ARRAYS | more), MODEL, SQUARE)


@pytest.mark.parametrize("lost", ["embedding/bias", "Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel", POSITIONS])
def test_what_is_missing_is_named(tmp_path, lost):
    arrays = {name: array for name, array in ARRAYS.items() if name != lost}
    with pytest.raises(DataError, match=f"no whole ViT: {lost}"):
        load_pretrained(save(tmp_path / "a.npz", arrays), MODEL, SQUARE)


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("embedding/kernel", np.zeros((48, 24)), "expected 4 axes"),
        ("embedding/kernel", np.zeros((4, 2, 3, 24)), "patches are 4x2"),
        (
            "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel",
            np.zeros((24, 2, 12)),
            r"\[2, 3\] att",
        ),
        ("Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel", np.zeros(24), "expected three axes"),
        ("Transformer/encoderblock_0/LayerNorm_0/bias", np.zeros(23), r"has shape \[23\], expected \[24\]"),
        ("Transformer/encoder_norm/bias", np.full(24, np.nan), "not finite"),
        ("Transformer/encoder_norm/bias", np.zeros(24, np.int32), "holds int32"),
        ("Transformer/encoder_norm/bias", np.array(["a"] * 24), "holds <U1"),
        (POSITIONS, np.zeros((5, 24)), r"shape \[5, 24\]"),
    ],
)
def test_impossible_arrays_are_refused(tmp_path, name, array, text):
    with pytest.raises(DataError, match=text):
        load_pretrained(save(tmp_path / "a.npz", ARRAYS | {name: array}), MODEL, SQUARE)


def test_archives_of_something_else_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no ViT: there is no embedding/kernel among image, label"):
        load_pretrained(save(tmp_path / "a.npz", {"image": np.zeros(3), "label": np.zeros(3)}), MODEL, SQUARE)
