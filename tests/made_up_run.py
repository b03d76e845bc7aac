"""A work directory as `dkjax simulate` and `dkjax attack` leave it, made up in milliseconds."""

from pathlib import Path
from typing import Any

import numpy as np

from dkjax.config import config_hash, parse_config, resolved
from dkjax.runtime.files import write_json

CLASSES = ("zero", "<script>alert(1)</script>", "two|2")
VIEWS = {"plain": ("plain",), "disposable": ("plain", "fresh_key"), "shared_key": ("plain", "fresh_key", "same_key")}
REACHED = {
    "looking": {"ssim": 0.123},
    "linking": {"top1_of_1000": 0.987},
    "template": {"blocks_in_place": 0.765, "ssim": 0.543},
    "puzzle": {"ssim": 0.321, "neighbours_right": 0.876},
}


def write_simulation(workdir: Path, runs: int = 1) -> dict[str, Any]:
    """Write `config.json` and `results.json`; every number is another one."""
    rng = np.random.default_rng(0)
    config = parse_config(
        {
            "data": {"source": "digits", "image_size": 16},
            "clients": {"count": 2},
            "scheme": {"block_size": 8},
            "train": {"runs": runs},
            "arms": [{"name": name} for name in VIEWS],
        }
    )
    arms = []
    for name, views in VIEWS.items():
        accuracies = {view: rng.uniform(0.1, 0.9, runs) for view in views}
        arms.append(
            {
                "name": name,
                "scheme": None if name == "plain" else "disposable",
                "fixed_blocks": None if name == "plain" else 0,
                "fixed_pixels": None if name == "plain" else 0,
                "keys": {"plain": "none", "disposable": "per_image", "shared_key": "shared"}[name],
                "key_space_bits": None if name == "plain" else {"key": 256.0, "transform": 9.7, "effective": 9.7},
                "test_accuracy": {
                    view: {
                        "mean": float(values.mean()),
                        "std": float(values.std(ddof=1)) if runs > 1 else 0.0,
                        "runs": values.tolist(),
                    }
                    for view, values in accuracies.items()
                },
                "ssim": float(rng.random()),
                "upload_bytes": int(rng.integers(1e6, 1e8)),
                "seconds": float(rng.uniform(10, 99)),
                "encrypt_seconds": float(rng.uniform(1, 9)),
                "curves": [
                    [
                        {"epoch": epoch, "test_accuracy": {view: float(accuracies[view][run]) for view in views}}
                        for epoch in (1.0, 2.5)
                    ]
                    for run in range(runs)
                ],
            }
        )
    results = {
        "arms": arms,
        "data": {
            "image_shape": [16, 16, 1],
            "class_names": list(CLASSES),
            "train_images": 1234,
            "test_images": 357,
            "skipped": 6,
            "clients": [
                {"name": f"client-{number}", "images": 600 + number, "images_per_class": [100 + number, 200, 300]}
                for number in (1, 2)
            ],
        },
        "notes": ["keys are reproducible"],
        "config": resolved(config),
        "config_hash": config_hash(config),
        "versions": {"python": "3.11.0", "dkjax": "0.1.0", "jax": "0.10.2"},
        "device": {"platform": "cpu", "kind": "cpu", "count": 1},
    }
    write_json(workdir / "config.json", {"hash": results["config_hash"], "config": results["config"]})
    write_json(workdir / "results.json", results)
    return results


def write_attacks(workdir: Path, request: dict[str, Any], settings: tuple[str, ...] = tuple(VIEWS)[1:]) -> dict:
    """Write `attacks.json` and pictures."""
    results: dict[str, Any] = {"request": {"images": 4, **request}, "settings": {}}
    for place, setting in enumerate(settings):
        attacks = {
            attack: {
                "scores": {
                    metric: {
                        "mean": mean - place / 50,
                        "low": mean - 0.05,
                        "high": mean + 0.05,
                        "images": 4,
                        "chance": 0.011,
                        "ceiling": 1.0,
                    }
                    for metric, mean in scores.items()
                },
                "cut_short": attack == "puzzle",
                "seconds": 1.0,
            }
            for attack, scores in REACHED.items()
        }
        results["settings"][setting] = {
            "scheme": "disposable",
            "images": 4,
            "attacks": attacks,
            "skipped": {"thumbnail": "too few blocks"},
        }
        folder = workdir / "pictures" / setting
        folder.mkdir(parents=True)
        for name in ("plain", "sent", "linking", "puzzle"):
            np.savez_compressed(folder / f"{name}.npz", image=np.full((4, 16, 16, 1), 7, np.uint8))
    write_json(workdir / "attacks.json", results)
    return results
