"""Every ViT of timm at random weights, cut to one block: read with timm's logits, or refused with a reason."""

import json
import re

import numpy as np
import pytest

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained import describe, load_pretrained

# Other people's packages warn of things that are theirs to mend.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

MODULES = ("vision_transformer", "deit", "eva", "beit", "vision_transformer_hybrid", "vision_transformer_relpos")
NUM_CLASSES = 7
TOLERANCE = 1e-4


def made(timm, name):
    """The network with one block and few patches, every weight away from zero and one; and its side in pixels."""
    import torch

    patch = re.search(r"patch(\d+)", name)
    size = {"img_size": 4 * int(patch[1])} if patch else {}
    # One block alone, whatever the network: the largest would not fit into memory.
    for options in (size, {**size, "num_kv_heads": [4]}, {}):
        try:
            network = timm.create_model(name, num_classes=NUM_CLASSES, depth=1, **options).eval()
            break
        except (TypeError, AssertionError):
            continue
    else:
        raise AssertionError(f"{name} cannot be cut to one block")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network, options.get("img_size") or network.pretrained_cfg["input_size"][-1]


def outcome(path, images, theirs):
    """What came of a checkpoint: the largest difference of the logits, or why it is refused."""
    try:
        model = describe(path).model()
        params, _ = load_pretrained(path, model, images.shape[1:], keep_head=True)
    except (ConfigError, DataError) as error:
        assert "\n" not in str(error)
        return str(error)
    return float(np.abs(np.asarray(model.apply(params, images)) - theirs()).max())


def test_every_vit_of_timm_is_right_or_refused(tmp_path, timm):
    import torch
    from safetensors.torch import save_file

    came = {"bare": {}, "named": {}}
    for name in [name for module in MODULES for name in timm.list_models(module=module)]:
        network, side = made(timm, name)
        images = np.random.default_rng(1).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)

        def theirs(network=network, images=images):
            with torch.no_grad():
                return network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()

        for kind in came:
            folder = tmp_path / kind
            folder.mkdir(exist_ok=True)
            save_file(
                {key: value.contiguous() for key, value in network.state_dict().items()}, folder / "model.safetensors"
            )
            if kind == "named":
                (folder / "config.json").write_text(json.dumps({"architecture": name}))
            came[kind][name] = outcome(folder, images, theirs)
    for kind, outcomes in came.items():
        loaded = {name: difference for name, difference in outcomes.items() if isinstance(difference, float)}
        print(kind, len(outcomes), "ViTs,", len(loaded), "read, largest difference", max(loaded.values()))
        assert {name: difference for name, difference in loaded.items() if difference > TOLERANCE} == {}
    # A name that is known is enough for all that differs in heads and GELU alone.
    unsaid = {name: why for name, why in came["named"].items() if "attention heads" in str(why)}
    assert unsaid == {}
    assert {"vit_huge_patch14_224", "deit3_huge_patch14_224", "vit_so400m_patch14_siglip_gap_224"} <= {
        name for name, why in came["named"].items() if isinstance(why, float)
    }
    assert len(came["named"]) > 270
