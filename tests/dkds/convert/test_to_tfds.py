"""What other people's TFDS, without TensorFlow, reads from an export."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_data_sets import CLASS_NAMES, Make, records_of

from dkjax.dkds.convert import convert_data_set
from dkjax.errors import ConfigError
from dkjax.sources import open_source


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tfds_reads_it(channels: int, make: Make, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    dkds = make(shape=(4, 8, channels))
    _, images, labels, ids = records_of(dkds)
    convert_data_set(dkds, "tfds", tmp_path / "there")
    for builder in (
        tfds.builder("dkds", data_dir=tmp_path / "there"),
        tfds.builder_from_directory(tmp_path / "there/dkds/1.0.0"),
    ):
        source = builder.as_data_source("train")
        assert len(source) == builder.info.splits["train"].num_examples == 11
        np.testing.assert_array_equal(np.stack([record["image"] for record in source]), images)
        assert [int(record["label"]) for record in source] == labels.tolist()
        assert [record["id"].decode() for record in source] == ids
        assert builder.info.features["label"].names == CLASS_NAMES
        assert builder.info.splits["train"].shard_lengths == [4, 4, 3]


def test_our_own_source_reads_it(make: Make, tmp_path: Path) -> None:
    dkds = make()
    _, images, labels, _ = records_of(dkds)
    convert_data_set(dkds, "tfds", tmp_path / "there")
    source = open_source(f"tfds:dkds@{tmp_path / 'there'}", "train", test_fraction=0.2)
    assert source.class_names == tuple(CLASS_NAMES)
    whole = open_source(f"tfds:dkds@{tmp_path / 'there'}", None)
    np.testing.assert_array_equal(whole[:]["image"], images)
    np.testing.assert_array_equal(whole.labels, labels)


@pytest.mark.parametrize("name", [" cat", "cat ", "\u00a0"])
def test_names_that_tfds_would_change_are_refused(name: str, make: Make, tmp_path: Path) -> None:
    dkds = make(class_names=["a", name])
    with pytest.raises(ConfigError, match="TFDS cannot hold the class name"):
        convert_data_set(dkds, "tfds", tmp_path / "there")
    convert_data_set(dkds, "parquet", tmp_path / "there")


def test_a_full_disk_is_known_by_its_text(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow_datasets as tfds

    dkds = make()
    said = f"write() failed: {os.strerror(errno.ENOSPC)}; writing a; at byte 7"

    def fail(*_: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(tfds.core.SequentialWriter, "add_examples", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        convert_data_set(dkds, "tfds", tmp_path / "there")
    assert caught.value.errno == errno.ENOSPC
    said = "another bug"
    with pytest.raises(RuntimeError, match="another bug"):
        convert_data_set(dkds, "tfds", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_neither_tensorflow_nor_what_tests_need_is_imported(make: Make, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.modules["importlib_resources"] = None  # in the dev extra only
from dkjax.dkds.convert import convert_data_set
there = Path(sys.argv[2])
convert_data_set(Path(sys.argv[1]), "tfds", there)
convert_data_set(there, "dkds", there.with_name("back.dkds"))
assert "tensorflow" not in sys.modules
"""
    arguments = [str(make()), str(tmp_path / "there")]
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
