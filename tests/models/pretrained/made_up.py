"""Checkpoints made up for the tests, in the names and layouts of others, written without the package's own tables."""

import json

import jax
import numpy as np
from safetensors.numpy import save_file

from dkjax.models.vit import vit

IMAGE = (8, 12, 3)
SQUARE = (8, 8, 3)


def small(**settings):
    """A ViT of two blocks with a number of its own for every size."""
    return vit(
        "mu", **{"patch_size": 4, "num_classes": 5, "width": 24, "mlp_dim": 40, "depth": 2, "heads": 3} | settings
    )


def random_params(model, image_shape=SQUARE, seed=0):
    """Parameters with no leaf at zero or one, so that each of them is seen to be in its place."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))
    return jax.tree.map(lambda leaf: 0.2 * rng.normal(size=leaf.shape).astype(np.float32), shapes)


def random_images(image_shape=SQUARE, count=3, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *image_shape)).astype(np.float32)


def flat(params):
    return {"/".join(part.key for part in where): np.asarray(leaf) for where, leaf in jax.tree.leaves_with_path(params)}


def assert_same(params, others):
    ours, theirs = flat(params), flat(others)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def timm_state(params, depth):
    """The arrays as timm names and lays them out: outputs first, query, key and value in one."""
    state = {
        "patch_embed.proj.weight": params["embedding"]["kernel"].transpose(3, 2, 0, 1),
        "patch_embed.proj.bias": params["embedding"]["bias"],
        "pos_embed": params["Transformer"]["posembed_input"]["pos_embedding"],
        "norm.weight": params["Transformer"]["encoder_norm"]["scale"],
        "norm.bias": params["Transformer"]["encoder_norm"]["bias"],
        "head.weight": params["head"]["kernel"].T,
        "head.bias": params["head"]["bias"],
    }
    if "cls" in params:
        state["cls_token"] = params["cls"]
    for layer in range(depth):
        block = params["Transformer"][f"encoderblock_{layer}"]
        attention, mlp = block["MultiHeadDotProductAttention_1"], block["MlpBlock_3"]
        qkv = [attention[name] for name in ("query", "key", "value")]
        width = len(qkv[0]["kernel"])
        named = {
            "norm1.weight": block["LayerNorm_0"]["scale"],
            "norm1.bias": block["LayerNorm_0"]["bias"],
            "attn.qkv.weight": np.concatenate([part["kernel"].reshape(width, width).T for part in qkv]),
            "attn.qkv.bias": np.concatenate([part["bias"].reshape(width) for part in qkv]),
            "attn.proj.weight": attention["out"]["kernel"].reshape(width, width).T,
            "attn.proj.bias": attention["out"]["bias"],
            "norm2.weight": block["LayerNorm_2"]["scale"],
            "norm2.bias": block["LayerNorm_2"]["bias"],
            "mlp.fc1.weight": mlp["Dense_0"]["kernel"].T,
            "mlp.fc1.bias": mlp["Dense_0"]["bias"],
            "mlp.fc2.weight": mlp["Dense_1"]["kernel"].T,
            "mlp.fc2.bias": mlp["Dense_1"]["bias"],
        }
        state |= {f"blocks.{layer}.{name}": array for name, array in named.items()}
    return {name: np.ascontiguousarray(array) for name, array in state.items()}


_HUGGING_FACE = {
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "pos_embed": "embeddings.position_embeddings",
    "cls_token": "embeddings.cls_token",
    "norm.": "layernorm.",
    "blocks.": "encoder.layer.",
}
_BLOCKS = {
    "vit": {
        ".norm1.": ".layernorm_before.",
        ".norm2.": ".layernorm_after.",
        ".attn.proj.": ".attention.output.dense.",
        ".mlp.fc1.": ".intermediate.dense.",
        ".mlp.fc2.": ".output.dense.",
    },
    "dinov2": {".attn.proj.": ".attention.output.dense."},
}


def hugging_face_state(params, depth, family="vit", prefix="vit."):
    """The arrays as transformers names them in its files."""
    state = {}
    for name, array in timm_state(params, depth).items():
        if name.startswith("head."):
            if family == "vit":
                state[name.replace("head.", "classifier.")] = array
            continue
        for ours, theirs in (_HUGGING_FACE | _BLOCKS[family]).items():
            name = theirs + name.removeprefix(ours) if name.startswith(ours) else name.replace(ours, theirs)
        if ".attn.qkv." in name:
            for projection, part in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                state[prefix + name.replace(".attn.qkv.", f".attention.attention.{projection}.")] = part.copy()
        else:
            state[prefix + name] = array
    return state


def write_folder(folder, state, **files):
    """Weights and the JSON files beside them."""
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    for name, tree in files.items():
        (folder / f"{name}.json").write_text(json.dumps(tree))
    return folder
