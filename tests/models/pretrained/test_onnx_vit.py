"""ViTs in ONNX files, found by what their graphs compute."""

import re
import sys

import numpy as np
import onnx
import pytest
from made_up import SQUARE, assert_same, flat, random_params, small
from made_up_onnx import onnx_bytes, onnx_model
from onnx import TensorProto, helper, numpy_helper

from dkjax.errors import DataError, MissingPackageError
from dkjax.models.pretrained import describe, load_pretrained
from dkjax.runtime.install import how_to_install

MODEL = small(gelu="exact")
PARAMS = random_params(MODEL)
STYLES = ("fused", "apart", "stored_once")


@pytest.mark.parametrize("style", STYLES)
def test_every_way_of_writing(tmp_path, style):
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes(PARAMS, MODEL, style=style))
    params, report = load_pretrained(path, MODEL, SQUARE, keep_head=True)
    assert_same(params, PARAMS)
    assert (report.unexpected, report.folded, report.notes) == ((), (), ())
    description = describe(path)
    assert (description.heads, description.gelu, description.layer_norm_epsilon) == (3, "exact", 1e-6)
    assert description.model() == MODEL


def test_equal_arrays_have_one_name(tmp_path):
    """Biases that are all zero are stored once, and say nothing about where they belong."""
    arrays = {name: 0 * array if name.endswith("bias") else array for name, array in flat(PARAMS).items()}
    np.savez(tmp_path / "a.npz", **arrays)
    params, _ = load_pretrained(tmp_path / "a.npz", small(gelu="exact"), SQUARE, keep_head=True)
    proto = onnx_model({**_numpy(params)}, MODEL, style="stored_once")
    assert len([tensor for tensor in proto.graph.initializer if tensor.name.endswith(".bias")]) == 4
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    assert_same(load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE, keep_head=True)[0], params)


def _numpy(tree):
    return {name: _numpy(leaf) if isinstance(leaf, dict) else np.asarray(leaf) for name, leaf in tree.items()}


@pytest.mark.parametrize("style", STYLES)
def test_layer_scale_is_folded(tmp_path, style):
    rng = np.random.default_rng(5)
    gammas = {(layer, branch): rng.normal(size=24).astype(np.float32) for layer in range(2) for branch in (1, 2)}
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(PARAMS, MODEL, style=style, gammas=gammas))
    params, report = load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE, keep_head=True)
    ours, theirs = flat(params), flat(PARAMS)
    for (layer, branch), gamma in gammas.items():
        name = {1: "MultiHeadDotProductAttention_1/out", 2: "MlpBlock_3/Dense_1"}[branch]
        for leaf in ("kernel", "bias"):
            full = f"Transformer/encoderblock_{layer}/{name}/{leaf}"
            np.testing.assert_array_equal(ours.pop(full), theirs.pop(full) * gamma)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert report.folded == ("LayerScale",)


def test_layer_scale_after_a_dropout_is_folded(tmp_path):
    """An export without optimisation has an Identity where the dropout was."""

    def dropouts(write, x):
        for place, node in list(enumerate(write.nodes))[::-1]:
            if node.op_type == "Mul" and "gamma" in node.input[1]:
                write.nodes.insert(place, helper.make_node("Identity", [node.input[0]], [f"dropout_{place}"]))
                node.input[0] = f"dropout_{place}"
        return x

    gammas = {(layer, branch): np.full(24, 3 + branch, np.float32) for layer in range(2) for branch in (1, 2)}
    both = []
    for name, edit in (("a", None), ("b", dropouts)):
        (tmp_path / name).write_bytes(onnx_bytes(PARAMS, MODEL, gammas=gammas, edit=edit))
        both.append(load_pretrained(tmp_path / name, MODEL, SQUARE, keep_head=True)[0])
    assert_same(*both)
    assert np.abs(flat(both[0])["Transformer/encoderblock_0/MlpBlock_3/Dense_1/bias"]).max() > 1


def test_what_follows_is_not_used(tmp_path):
    def decoder(write, x):
        kernel = write.store("decoder.weight", np.ones((5, 2), np.float32))
        return write.node("Sigmoid", [write.node("MatMul", [x, kernel])])

    (tmp_path / "a.onnx").write_bytes(onnx_bytes(PARAMS, MODEL, edit=decoder))
    _, report = load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE)
    assert report.unexpected == ("decoder.weight", "head.bias", "head.weight")
    assert report.missing == ("head/bias", "head/kernel")


def test_weights_beside_the_file(tmp_path):
    onnx.save(onnx_model(PARAMS, MODEL), tmp_path / "a.onnx", save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.iterdir())) > 1
    assert_same(load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE, keep_head=True)[0], PARAMS)


def test_weights_outside_of_the_folder_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(24 * 4))
    (tmp_path / "inside").mkdir()
    proto = onnx_model(PARAMS, MODEL)
    tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == "norm.bias")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "inside" / "a.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match="no ONNX file that can be read"):
        load_pretrained(tmp_path / "inside" / "a.onnx", MODEL, SQUARE)


def _without(kind):
    """Leave a node out: what it computes is what it reads."""

    def edit(write, x):
        node = next(node for node in write.nodes if node.op_type == kind)
        node.op_type = "Identity"
        del node.input[1:], node.attribute[:]
        return x

    return edit


def _normalised_before(write, x):
    write.nodes[0].input[0] = "shifted"
    write.nodes.insert(
        0, helper.make_node("Sub", ["images", write.store("mean", np.zeros((3, 1, 1), np.float32))], ["shifted"])
    )
    return x


def _scaled_by_a_vector(write, x):
    """A factor before the second norm, where a ViT has none."""
    norm = [node for node in write.nodes if node.op_type == "LayerNormalization"][1]
    factor = write.store("odd", np.arange(24, dtype=np.float32))
    write.nodes.insert(write.nodes.index(norm), helper.make_node("Mul", [norm.input[0], factor], ["scaled"]))
    norm.input[0] = "scaled"
    return x


def _circle(write, x):
    write.nodes[0].input[1] = "circle"
    write.nodes.append(helper.make_node("Identity", ["circle"], ["circle"]))
    return x


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_without("Softmax"), "after the patch embedding and 0 encoder blocks comes norm linear linear norm"),
        (_without("Gelu"), "0 encoder blocks"),
        (_without("LayerNormalization"), "0 encoder blocks comes linear"),
        (_without("Conv"), "does not begin with a convolution"),
        (_normalised_before, "computes Sub before its patch embedding"),
        (_scaled_by_a_vector, "Mul by a vector, where no layer of a ViT has one"),
        (_circle, "damaged, or no plain ViT"),
    ],
)
def test_other_networks_are_refused(tmp_path, edit, text):
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(PARAMS, MODEL, edit=edit))
    with pytest.raises(DataError, match=text):
        load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE)


def test_truncated_weights_are_refused(tmp_path):
    proto = onnx_model(PARAMS, MODEL)
    proto.graph.initializer[0].raw_data = b"0123"
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match="damaged, or no plain ViT"):
        load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE)


def test_half_precision_is_read(tmp_path):
    proto = onnx_model(PARAMS, MODEL)
    for tensor in proto.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    params, _ = load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE, keep_head=True)
    for name, array in flat(params).items():
        np.testing.assert_array_equal(array, flat(PARAMS)[name].astype(np.float16).astype(np.float32))


def test_without_the_package(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(onnx_bytes(PARAMS, MODEL))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=re.escape(how_to_install("onnx"))):
        load_pretrained(tmp_path / "a.onnx", MODEL, SQUARE)
