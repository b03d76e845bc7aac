"""torchvision, imported although its compiled operators may be for another build of PyTorch."""

import warnings


def import_torchvision() -> None:
    """Import torchvision, or timm, which does the same, where only what is written in Python is needed."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torchvision
        except RuntimeError:
            # It has to find these two operators while it is imported.
            operators = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import torchvision  # noqa: F401
