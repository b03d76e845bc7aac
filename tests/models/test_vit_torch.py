"""The ViT against PyTorch's own layers on the same weights."""

import jax
import numpy as np
import pytest

from dkjax.models.vit import vit

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch


def random_params(model, image_shape, seed):
    """Parameters with no leaf at zero or one, so that each of them is seen to be in its place."""
    rng = np.random.default_rng(seed)
    params = model.init(jax.random.key(seed), image_shape)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.05 * rng.normal(size=leaf.shape).astype(np.float32), params)


def load(layer, **tensors):
    """Copy arrays into a torch module, all its parameters at once."""
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()})
    return layer


def encoder_layer(model, block):
    """One block as torch has it: query, key and value in one matrix, every matrix with its outputs first."""
    attention, mlp = block["MultiHeadDotProductAttention_1"], block["MlpBlock_3"]
    inputs = [attention[name] for name in ("query", "key", "value")]
    layer = torch.nn.TransformerEncoderLayer(
        model.width,
        model.heads,
        model.mlp_dim,
        dropout=0.0,
        activation=torch.nn.GELU(approximate="tanh" if model.gelu == "tanh" else "none"),
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
    )
    return load(
        layer,
        **{
            "self_attn.in_proj_weight": np.concatenate([p["kernel"].reshape(model.width, -1).T for p in inputs]),
            "self_attn.in_proj_bias": np.concatenate([p["bias"].reshape(-1) for p in inputs]),
            "self_attn.out_proj.weight": attention["out"]["kernel"].reshape(-1, model.width).T,
            "self_attn.out_proj.bias": attention["out"]["bias"],
            "linear1.weight": mlp["Dense_0"]["kernel"].T,
            "linear1.bias": mlp["Dense_0"]["bias"],
            "linear2.weight": mlp["Dense_1"]["kernel"].T,
            "linear2.bias": mlp["Dense_1"]["bias"],
            "norm1.weight": block["LayerNorm_0"]["scale"],
            "norm1.bias": block["LayerNorm_0"]["bias"],
            "norm2.weight": block["LayerNorm_2"]["scale"],
            "norm2.bias": block["LayerNorm_2"]["bias"],
        },
    )


def torch_logits(model, params, images):
    """The whole ViT in torch: its convolution, its encoder layers, its norm and its linear head."""
    transformer = params["Transformer"]
    kernel = params["embedding"]["kernel"]
    conv = torch.nn.Conv2d(kernel.shape[2], model.width, model.patch_size, stride=model.patch_size)
    load(conv, weight=kernel.transpose(3, 2, 0, 1), bias=params["embedding"]["bias"])
    norm = torch.nn.LayerNorm(model.width, eps=1e-6)
    load(norm, weight=transformer["encoder_norm"]["scale"], bias=transformer["encoder_norm"]["bias"])
    head = torch.nn.Linear(model.width, model.num_classes)
    load(head, weight=params["head"]["kernel"].T, bias=params["head"]["bias"])

    tokens = conv(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).flatten(2).transpose(1, 2)
    if model.pool == "token":
        cls = torch.from_numpy(params["cls"]).expand(len(images), -1, -1)
        tokens = torch.cat([cls, tokens], dim=1)
    tokens = tokens + torch.from_numpy(transformer["posembed_input"]["pos_embedding"])
    for layer in range(model.depth):
        tokens = encoder_layer(model, transformer[f"encoderblock_{layer}"])(tokens)
    tokens = norm(tokens)
    return head(tokens[:, 0] if model.pool == "token" else tokens.mean(dim=1)).detach().numpy()


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("gelu", ["exact", "tanh"])
@pytest.mark.parametrize(
    ("variant", "settings", "image_shape"),
    [
        ("mu", {"patch_size": 4, "depth": 3}, (12, 8, 1)),
        ("Ti", {"patch_size": 16}, (64, 64, 3)),
    ],
    ids=["small", "Ti/16"],
)
def test_logits_agree_with_torch(variant, settings, image_shape, gelu, pool):
    model = vit(variant, num_classes=7, gelu=gelu, pool=pool, **settings)
    params = random_params(model, image_shape, seed=0)
    images = np.random.default_rng(1).normal(size=(4, *image_shape)).astype(np.float32)
    logits = np.asarray(jax.jit(model.apply)(params, images))
    assert logits.std() > 0.1
    np.testing.assert_allclose(logits, torch_logits(model, params, images), atol=1e-4)
