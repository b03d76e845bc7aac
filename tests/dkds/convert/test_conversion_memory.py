"""Memory while converting: that of a shard, however many there are."""

import shutil
import tracemalloc
from pathlib import Path

import pytest
from odd_data_sets import Make

from dkjax.dkds import layout
from dkjax.dkds.convert import convert_data_set

SHAPE = (32, 32, 3)
SHARD = 100  # 300 KB


def peak_of_converting(source: Path, to: str, out: Path) -> int:
    """The lower peak of two conversions: what other threads of the process allocate meanwhile counts, too."""
    peaks = []
    for _ in range(2):
        shutil.rmtree(out, ignore_errors=True)
        tracemalloc.start()
        convert_data_set(source, to, out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(peaks)


@pytest.mark.parametrize("to", ["tfds", "parquet", "png", "packed"])
def test_memory_does_not_grow(to: str, make: Make, tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"there": [], "back": []}
    # The first one imports what it needs.
    for number, shards in enumerate((1, 4, 24)):
        dkds = make(f"{number}.dkds", num_records=shards * SHARD, shard_images=SHARD, shape=SHAPE, class_names=["a"])
        there, back = tmp_path / f"{number}-there{layout.SUFFIX * (to == 'packed')}", tmp_path / f"{number}-back.dkds"
        peaks["there"].append(peak_of_converting(dkds, to, there))
        peaks["back"].append(peak_of_converting(there, "dkds", back))
    for _, few, many in peaks.values():
        assert many - few < 1_000_000, peaks  # of 6 MB more
