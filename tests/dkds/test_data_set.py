"""Opening an encrypted data set: a source like others, mapped from the disk, and nothing that was not finished."""

import os
import resource
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_data_sets import CLASSES, RECORDS, SHAPE, shard_of, write_small

from dkjax.dkds import open_data_set
from dkjax.dkds.verify import verify
from dkjax.errors import ArgumentError, DamagedDataSetError
from dkjax.sources import Source


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_small(tmp_path / "a.dkds")
    return tmp_path / "a.dkds"


def test_it_is_a_source(path: Path) -> None:
    data_set = open_data_set(path)
    assert isinstance(data_set, Source)
    assert (len(data_set), data_set.image_shape, data_set.class_names) == (RECORDS, SHAPE, tuple(CLASSES))
    assert data_set.skipped == ()
    shards = [load_file(shard_of(path, number)) for number in range(3)]
    expected = {name: np.concatenate([shard[name] for shard in shards]) for name in ("image", "label")}
    np.testing.assert_array_equal(data_set.labels, expected["label"])
    chosen = np.array([24, 0, 10, 9, 0])
    for indices in (chosen, slice(None), slice(3, 20, 4)):
        batch = data_set[indices]
        np.testing.assert_array_equal(batch["image"], expected["image"][indices])
        np.testing.assert_array_equal(batch["label"], expected["label"][indices])
    with pytest.raises(ArgumentError, match=r"index 25 is outside 0\.\.24"):
        data_set[np.array([25])]


def test_images_stay_on_the_disk(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", records=40_000, shard_images=10_000)
    assert sum(shard.stat().st_size for shard in (tmp_path / "a.dkds").glob("shard-*")) > 2 << 20
    tracemalloc.start()
    try:
        data_set = open_data_set(tmp_path / "a.dkds")
        data_set[np.arange(0, 40_000, 1000)]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("COMMIT", "uncommitted", "copy it again, COMMIT last"),
        ("manifest.json", "manifest", "manifest.json is missing"),
        ("shard-00001.safetensors", "shard-missing", "shard-00001.safetensors is missing: copy it again"),
    ],
)
@pytest.mark.parametrize("instead", ["nothing", "folder", "pipe", "link to nowhere", "link to itself"])
def test_a_file_that_is_not_there(path: Path, name: str, kind: str, said: str, instead: str) -> None:
    (path / name).unlink()
    if instead == "folder":
        (path / name).mkdir()
    elif instead == "pipe":
        os.mkfifo(path / name)
    elif instead != "nothing":
        (path / name).symlink_to("nowhere" if instead == "link to nowhere" else name)
    with pytest.raises(DamagedDataSetError, match=said) as refused:
        open_data_set(path)
    assert refused.value.kind == kind


def test_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "file.dkds").touch()
    for name in ("absent.dkds", "file.dkds", "a\0b.dkds"):
        with pytest.raises(DamagedDataSetError, match="there is no encrypted data set") as refused:
            open_data_set(tmp_path / name)
        assert refused.value.kind == "absent"


@pytest.mark.parametrize(
    "name", [".hidden", "shard-00003.safetensors", "shard-00000.safetensors.unfinished", "thumbs.db"]
)
def test_strangers(path: Path, name: str) -> None:
    (path / name).touch()
    with pytest.raises(DamagedDataSetError, match=r"does not belong into a data set: remove it") as refused:
        open_data_set(path)
    assert refused.value.kind == "stranger"


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    path = tmp_path / "a.dkds"
    write_small(path, shard_images=1, records=60)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 20, limits[1]))
    try:
        assert verify(path).whole
        data_set = open_data_set(path)
        records = data_set[:]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number in range(60):
        np.testing.assert_array_equal(records["image"][number], load_file(shard_of(path, number))["image"][0])


def test_a_lock_that_was_left_does_no_harm(path: Path) -> None:
    (path / ".lock").touch()
    assert len(open_data_set(path)) == RECORDS


def test_a_lock_with_something_in_it_is_a_stranger(path: Path) -> None:
    (path / ".lock").write_bytes(bytes(1 << 20))
    with pytest.raises(DamagedDataSetError, match=r"\.lock does not belong into a data set: remove it"):
        open_data_set(path)


def test_behind_links(path: Path) -> None:
    """The folder, and each file in it, may be a link; bytes count, not where they lie."""
    linked = path.with_name("linked.dkds")
    linked.mkdir()
    for file in path.iterdir():
        (linked / file.name).symlink_to(file)
    (path.parent / "again.dkds").symlink_to(linked)
    np.testing.assert_array_equal(
        open_data_set(path.parent / "again.dkds")[:]["image"], open_data_set(path)[:]["image"]
    )


def test_a_copy_in_any_order_is_no_data_set_until_commit(path: Path) -> None:
    copy = path.with_name("copy.dkds")
    copy.mkdir()
    for name in ("manifest.json", "shard-00002.safetensors", "shard-00000.safetensors", "shard-00001.safetensors"):
        shutil.copy(path / name, copy / name)
        with pytest.raises(DamagedDataSetError) as refused:
            open_data_set(copy)
        assert refused.value.kind == "uncommitted"
    shutil.copy(path / "COMMIT", copy / "COMMIT")
    assert len(open_data_set(copy)) == RECORDS
