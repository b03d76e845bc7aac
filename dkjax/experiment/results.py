"""What a simulation found, as plain JSON values: the schema of `results.json`."""

import statistics
from typing import Any

import numpy as np

from dkjax.cipher import Scheme, key_space_bits
from dkjax.cipher.transforms import (
    BlockScrambling,
    BlockwisePixelPermutation,
    NoisyCounts,
    PixelPermutation,
    SortedValues,
)
from dkjax.experiment.arms.kind import Arm
from dkjax.experiment.shared_setup import SharedSetup

VARIANT = ("order_by", "levels", "epsilon")
"""What tells schemes of one name and one `pixel_order` apart in `results.json`; None where it is the default."""


def arm_summary(
    arm: Arm, image_shape: tuple[int, int, int], prng: str, reading: str, runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """Say what came of an arm, over its runs.

    Args:
        arm: which arm.
        image_shape: `(H, W, C)`.
        prng: of the keys.
        reading: how the model reads patches in this arm.
        runs: what each run wrote to its `result.json`.

    Returns:
        The arm's entry in `results.json`.
    """
    scheme = arm.scheme
    parameters = {} if scheme is None else dict(scheme.parameters)
    views = runs[0]["test_accuracy"]
    ssims = [run["ssim"] for run in runs]
    return {
        "name": arm.name,
        "scheme": None if scheme is None else scheme.name,
        "fixed_blocks": None if scheme is None else _fixed(scheme, BlockScrambling),
        "fixed_pixels": None if scheme is None else _fixed(scheme, PixelPermutation, BlockwisePixelPermutation),
        "pixel_order": None if scheme is None else _pixel_order(scheme),
        **{name: parameters.get(name) for name in VARIANT},
        "reading": reading,
        "keys": arm.kind.key_sharing,
        "adapt_embedding": arm.adapt_embedding,
        "key_space_bits": None if scheme is None else key_space_bits(scheme, image_shape, prng=prng),
        "test_accuracy": {view: spread([run["test_accuracy"][view] for run in runs]) for view in views},
        "ssim": None if None in ssims else statistics.fmean(ssims),
        "upload_bytes": runs[0]["upload_bytes"],
        "download_bytes": sum(both["down"] for both in runs[0]["client_bytes"].values()),
        "client_bytes": runs[0]["client_bytes"],
        "seconds": round(statistics.fmean(run["seconds"] for run in runs), 3),
        "encrypt_seconds": round(statistics.fmean(run["encrypt_seconds"] for run in runs), 3),
        "client_seconds": round(statistics.fmean(run["client_seconds"] for run in runs), 3),
        "federation": None if runs[0]["federation"] is None else [run["federation"] for run in runs],
        "curves": [run["curve"] for run in runs],
    }


def _fixed(scheme: Scheme, *kinds: type[BlockScrambling | PixelPermutation | BlockwisePixelPermutation]) -> int | None:
    """Say how many positions a scheme's transform of these kinds leaves at their place."""
    return next((step.fixed for step in scheme.transforms if isinstance(step, kinds)), None)


def _pixel_order(scheme: Scheme) -> str | None:
    """Say whether the values of an image's blocks have one order, or each block one of its own."""
    orders = {
        PixelPermutation: "image",
        BlockwisePixelPermutation: "block",
        SortedValues: "sorted",
        NoisyCounts: "sorted",
    }
    return next((orders[type(step)] for step in scheme.transforms if type(step) in orders), None)


def spread(values: list[float]) -> dict[str, Any]:
    """Return mean, sample standard deviation (0 for a single run) and the runs themselves."""
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": std, "runs": values}


def data_summary(setup: SharedSetup) -> dict[str, Any]:
    """Say which images there were, and how they were partitioned among the clients."""
    num_classes = len(setup.class_names)
    return {
        "image_shape": list(setup.image_shape),
        "class_names": list(setup.class_names),
        "train_images": setup.num_records,
        "test_images": len(setup.test["label"]),
        "skipped": setup.skipped,
        "clients": [
            {
                "name": client.name,
                "images": len(client.records["label"]),
                "images_per_class": np.bincount(client.records["label"], minlength=num_classes).tolist(),
            }
            for client in setup.clients
        ],
    }
