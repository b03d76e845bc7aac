"""The training step written in PyTorch on timm's ViT, as well as that is usually done, to be measured beside it."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping

import numpy as np

from dkjax.bench.baselines import torch_images
from dkjax.config import TrainConfig
from dkjax.models.vit import Model
from dkjax.runtime import machine

EAGER, COMPILED = "timm step", "timm step, torch.compile"


def timm_steps(
    model: Model, config: TrainConfig, data: Mapping[str, np.ndarray], say: Callable[[str], None] = lambda _: None
) -> dict[str, Callable[[int], float]]:
    """Make training steps of timm's ViT; none where PyTorch or timm is not installed.

    What they do is what `make_train_step` does: images of uint8 to -1..1, cross-entropy, gradient clipping, AdamW with
    decay of matrices alone, and in bfloat16 (autocast) if the model computes in it. AdamW is the fused one, attention
    PyTorch's own.

    Args:
        model: what is built again in timm; its `dropout` and the like have to be off.
        config: of `learning_rate`, `weight_decay` and `clip_norm`.
        data: `image`, uint8[n, H, W, C], and `label`, int[n]; they stay on the device.
        say: is told what is left out, and why.

    Returns:
        By name, `(number) -> loss`: each takes a step of its own network when called and is finished when it returns.
        The compiled one is left out where there is no C++ compiler.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("timm") is None:
        return {}
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError) as error:  # as of a torchvision made for another PyTorch
        say(f"without timm, which does not start: {error}")
        return {}
    steps = {EAGER: _step(model, config, data, compiled=False)}
    if shutil.which(os.environ.get("CXX", "g++")):
        steps[COMPILED] = _step(model, config, data, compiled=True)
    return steps


def _step(
    model: Model, config: TrainConfig, data: Mapping[str, np.ndarray], *, compiled: bool
) -> Callable[[int], float]:
    import torch
    from timm.models.vision_transformer import VisionTransformer

    images, labels = (torch_images(data[name]) for name in ("image", "label"))
    device = images.device.type
    if not images.is_cuda:
        torch.set_num_threads(machine.cpu_cores())
    network = VisionTransformer(
        img_size=images.shape[1:3],
        patch_size=model.patch_size,
        in_chans=images.shape[3],
        num_classes=model.num_classes,
        embed_dim=model.width,
        depth=model.depth,
        num_heads=model.heads,
        mlp_ratio=model.mlp_dim / model.width,
        act_layer="gelu_tanh" if model.gelu == "tanh" else "gelu",
    ).to(device)
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        fused=True,
    )

    def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=model.dtype == "bfloat16"):
            logits = network(images.permute(0, 3, 1, 2).float() / 127.5 - 1.0)
        return torch.nn.functional.cross_entropy(logits.float(), labels)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step(_: int) -> float:
        adamw.zero_grad(set_to_none=True)
        loss = loss_of(images, labels)
        loss.backward()
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        adamw.step()
        if images.is_cuda:
            torch.cuda.synchronize()
        return loss.item()

    return step
