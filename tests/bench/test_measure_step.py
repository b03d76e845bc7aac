"""The bench of a training step: both steps train, one on encrypted images, and the shares follow from the times."""

import json
import statistics

import pytest

from dkjax.bench import measure_step
from dkjax.errors import ConfigError


def test_result() -> None:
    said = []
    result = measure_step("mu", batch=2, size=32, rounds=3, say=said.append)
    assert json.loads(json.dumps(result)) == result
    assert said == ["ViT-mu/16, 32 px, 2 images a step"]
    assert (result["bench"], result["variant"], result["dtype"]) == ("step", "mu/16", "float32")
    plain, longer, alone = result["rows"]
    assert [row["name"] for row in result["rows"]] == ["plain step", "step with encryption", "encryption alone"]
    for row in result["rows"]:
        assert len(row["seconds"]) == 3
        assert row["images_per_second"] == pytest.approx(2 / row["median_seconds"])
    differences = [with_it - without for with_it, without in zip(longer["seconds"], plain["seconds"], strict=True)]
    assert result["share_by_difference"] == pytest.approx(statistics.median(differences) / plain["median_seconds"])
    assert result["share_alone"] == pytest.approx(alone["median_seconds"] / plain["median_seconds"])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'Ti'"):
        measure_step("Tii")
    with pytest.raises(ConfigError, match="patch_size=16 does not divide height=40"):
        measure_step("mu", size=40)
