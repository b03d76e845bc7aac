"""The bench of training: every contender takes the same steps, and ratios are taken round by round."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import train as training
from train import Workload, measure_training, workload

from dkjax.models.vit import vit
from dkjax.train.checkpoints import Checkpoints

SMALL = Workload(vit("mu", width=8, heads=2, mlp_dim=8, patch_size=4, num_classes=10), size=8, batch=4, images=40)


def test_result(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    saved: list[int] = []
    after_step = Checkpoints.after_step

    def watched(self: Checkpoints, step: int, *rest: Any) -> None:
        saved.append(step)
        after_step(self, step, *rest)

    monkeypatch.setattr(Checkpoints, "after_step", watched)
    result = measure_training(SMALL, steps=4, rounds=2, say=said.append)
    assert json.loads(json.dumps(result)) == result
    assert saved == [2, 6, 10]  # in the middle of each run
    assert (result["bench"], result["batch"], result["steps"], result["rounds"]) == ("train", 4, 4, 2)
    # Parameters and AdamW's two moments in float32, and two counts.
    assert result["checkpoint_bytes"] == 3 * 4 * result["parameters"] + 3 * 4
    synthetic, store, kept = result["contenders"]
    assert [row["name"] for row in result["contenders"]] == [training.SYNTHETIC, training.STORE, training.KEPT]
    for row, before in ((synthetic, synthetic), (store, synthetic), (kept, store)):
        assert row["images_per_second"] == pytest.approx(16 / row["median_seconds"])
        ratios = np.array(row["seconds"]) / np.array(before["seconds"])
        assert row["times_the_one_before"] == pytest.approx(np.median(ratios))
    assert said == [f"4 steps of 4 images of 8 px, a checkpoint of {result['checkpoint_bytes'] / 1e6:,.1f} MB"]


def test_workloads(tmp_path: Path) -> None:
    assert (workload().size, workload().batch, workload(batch=8).batch) == (32, 64, 8)
    named = workload("Ti", batch=2)
    assert (named.size, named.model.width, named.model.patch_size) == (224, 192, 16)
