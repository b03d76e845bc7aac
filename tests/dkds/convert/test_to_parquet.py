"""What Hugging Face `datasets` and plain pyarrow read from an export."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from odd_data_sets import CLASS_NAMES, Make, records_of
from PIL import Image

from dkjax.dkds.convert import convert_data_set


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and no way to the hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return tmp_path / "cache"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("by", ["folder", "parquet", "streaming"])
def test_datasets_reads_it(by: str, channels: int, make: Make, tmp_path: Path, offline: Path) -> None:
    import datasets

    dkds = make(shape=(8, 12, channels), empty_shard=1)
    _, images, labels, ids = records_of(dkds)
    there = tmp_path / "there"
    convert_data_set(dkds, "parquet", there)
    if by == "folder":
        loaded = datasets.load_dataset(str(there), split="train", cache_dir=str(offline))
    else:
        files = {"train": str(there / "data" / "*.parquet")}
        loaded = datasets.load_dataset(
            "parquet", data_files=files, split="train", cache_dir=str(offline), streaming=by == "streaming"
        )
    assert loaded.features == datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASS_NAMES), "id": datasets.Value("string")}
    )
    records = list(loaded)
    pixels = np.stack([np.asarray(record["image"]) for record in records]).reshape(images.shape)
    np.testing.assert_array_equal(pixels, images)
    assert [record["label"] for record in records] == labels.tolist()
    assert [record["id"] for record in records] == ids


def test_pyarrow_reads_it(make: Make, tmp_path: Path) -> None:
    dkds = make()
    _, images, labels, ids = records_of(dkds)
    convert_data_set(dkds, "parquet", tmp_path / "there")
    files = sorted(path.name for path in (tmp_path / "there/data").iterdir())
    assert files == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]
    table = pq.read_table(tmp_path / "there/data", page_checksum_verification=True)
    columns = table.to_pydict()
    assert columns["label"] == labels.tolist()
    assert columns["id"] == ids
    assert {cell["path"] for cell in columns["image"]} == {None}
    decoded = [np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in columns["image"]]
    np.testing.assert_array_equal(np.stack(decoded), images)


def test_a_flipped_bit_is_noticed_by_readers_that_look(make: Make, tmp_path: Path) -> None:
    convert_data_set(make(), "parquet", tmp_path / "there")
    file = min((tmp_path / "there/data").iterdir())
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    file.write_bytes(data)
    with pytest.raises(OSError, match="could not verify page integrity"):
        pq.read_table(file, page_checksum_verification=True)
