"""A shard that is written as its records come: the same bytes, or nothing."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dkjax.dkds import layout
from dkjax.dkds.growing_shard import entry_of_records, growing_shard, write_shard
from dkjax.dkds.shard import record_crcs
from dkjax.runtime.files import sha256_of

ID = "0123456789abcdef" * 2
RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (600, 40, 24, 3), np.uint8)  # more than the pieces in which they are moved
LABELS = RANDOM.integers(0, 9, 600, np.int32)
IDS = RANDOM.integers(0, 256, (1200, 16), np.uint8)


def part(first: int, stop: int) -> dict[str, np.ndarray]:
    return {"image": IMAGES[first:stop], "label": LABELS[first:stop]}


@pytest.mark.parametrize(("room", "cuts"), [(600, [0, 600]), (600, [0, 1, 1, 300, 600]), (1200, [0, 250, 600])])
def test_the_same_bytes_however_they_come(tmp_path: Path, room: int, cuts: list[int]) -> None:
    (tmp_path / "whole").mkdir()
    expected = write_shard(tmp_path / "whole", 7, part(0, 600), IDS[:600], ID)
    with growing_shard(tmp_path, 7, IDS[:room], IMAGES.shape[1:], ID) as shard:
        for first, stop in itertools.pairwise(cuts):
            shard.append(part(first, stop))
            assert shard.filled == stop
    path = tmp_path / layout.shard_name(7)
    assert shard.entry == expected
    assert (expected.sha256, expected.bytes, expected.records) == (sha256_of(path), path.stat().st_size, 600)
    assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    tensors = load_file(path)
    np.testing.assert_array_equal(tensors["image"], IMAGES)
    np.testing.assert_array_equal(tensors["label"], LABELS)
    np.testing.assert_array_equal(tensors["id"], IDS[:600])
    np.testing.assert_array_equal(tensors["crc32"], record_crcs(IMAGES, LABELS, IDS[:600]))


def test_the_entry_without_the_file(tmp_path: Path) -> None:
    for count in (0, 600):
        entry = entry_of_records(7, part(0, count), IDS[:count], ID)
        assert entry == write_shard(tmp_path, 7, part(0, count), IDS[:count], ID)


def test_nothing_is_left_of_a_part(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), growing_shard(tmp_path, 0, IDS, IMAGES.shape[1:], ID) as shard:
        shard.append(part(0, 5))
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_it_is_finished_on_another_thread(tmp_path: Path) -> None:
    growing = growing_shard(tmp_path, 0, IDS, IMAGES.shape[1:], ID)
    growing.__enter__().append(part(0, 5))
    thread = threading.Thread(target=growing.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert load_file(tmp_path / layout.shard_name(0))["image"].shape == (5, 40, 24, 3)
