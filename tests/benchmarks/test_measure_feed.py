"""The bench of feeding: all contenders give the same batch, and the numbers follow from the times."""

import json
from pathlib import Path

import feed
import numpy as np
import pytest

from dkjax.errors import ConfigError
from dkjax.input.order import uniform_order


def test_result() -> None:
    said: list[str] = []
    result = feed.measure_feed(feed.cases((32,), (4, 8), 50), rounds=3, say=said.append)
    assert json.loads(json.dumps(result)) == result
    assert said == [
        "32 px: writing 50 images twice",
        "32 px, batches of 4 from 50 images in 1 shards",
        "32 px, batches of 8 from 50 images in 1 shards",
    ]
    assert (result["bench"], result["rounds"], [case["batch"] for case in result["cases"]]) == ("feed", 3, [4, 8])
    for case in result["cases"]:
        names = [feed.SHARDS, feed.TO_DEVICE, feed.MEMORY, feed.ARRAY_RECORD, feed.ARRAY_RECORD_BATCH]
        assert [row["name"] for row in case["contenders"]] == names
        by_record = case["contenders"][3]
        for row in case["contenders"]:
            assert len(row["seconds"]) == 3
            assert row["images_per_second"] == pytest.approx(case["batch"] / row["median_seconds"])
            assert row["gigabytes_per_second"] == pytest.approx(row["images_per_second"] * 32 * 32 * 3 / 1e9)
            assert row["times_array_record"] == pytest.approx(by_record["median_seconds"] / row["median_seconds"])


def test_all_contenders_give_the_same_batch(tmp_path: Path) -> None:
    (case,) = feed.cases((32,), (8,), 40)
    data_set, array_record = feed._write(case, tmp_path)
    order = uniform_order(case.images, case.batch, seed=0)
    expected = data_set[order(3)]
    for read in (feed.one_by_one, feed.at_once):
        found = read(array_record, order, 3, case.shape)
        for name in ("image", "label"):
            assert found[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(found[name], expected[name])


def test_cases() -> None:
    assert [(case.size, case.batch, case.images) for case in feed.cases()] == [
        (32, 256, 100_000),
        (32, 1024, 100_000),
        (224, 256, 5_000),
        (224, 1024, 5_000),
    ]
    assert [case.shard_images for case in feed.cases(batches=(1,))] == [43_520, 768]
    with pytest.raises(ConfigError, match="--size 64 is not one of 32, 224"):
        feed.cases((64,))
