"""A thousand accidents and edits: all are found by `verify`, and nothing of them is trained on."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_data_sets import edit_manifest, flip, shard_of, write_small

from dkjax.dkds.verify import require_whole, verify
from dkjax.errors import DAMAGE, DamagedDataSetError

Random = np.random.Generator
SEED = bytes(range(16))
SHARDS = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, and others that its files could be mixed up with."""
    folder = tmp_path_factory.mktemp("store")
    write_small(folder / "a.dkds", seed=SEED)
    write_small(folder / "older.dkds", seed=SEED, noise=1)  # the same id, from other images
    write_small(folder / "foreign.dkds", noise=2, client="plant-b")
    return folder


def any_file(path: Path, random: Random) -> Path:
    return path / random.choice(sorted(os.listdir(path)))


def any_shard(path: Path, random: Random) -> Path:
    return shard_of(path, int(random.integers(SHARDS)))


def flipped_bit(path: Path, random: Random, store: Path) -> None:
    file = any_file(path, random)
    flip(file, int(random.integers(file.stat().st_size)), int(random.integers(8)))


def flipped_bits_of_a_shard(path: Path, random: Random, store: Path) -> None:
    file = any_shard(path, random)
    for place in random.choice(file.stat().st_size, 1 + int(random.integers(20)), replace=False):
        flip(file, int(place), int(random.integers(8)))


def overwritten(path: Path, random: Random, store: Path) -> None:
    """A stretch of a file, as a bad sector or a wrong seek would."""
    file = any_file(path, random)
    data = np.frombuffer(file.read_bytes(), np.uint8).copy()
    begin, end = np.sort(random.choice(len(data) + 1, 2, replace=False))
    data[begin:end] ^= random.integers(1, 256, end - begin, np.uint8)
    file.write_bytes(data.tobytes())


def moved_bytes(path: Path, random: Random, store: Path) -> None:
    """Two records of a shard change places, checksums and all; the file keeps its length."""
    file = any_shard(path, random)
    data = file.read_bytes()
    turn = 1 + int(random.integers(len(data) - 1))
    moved = data[turn:] + data[:turn]
    file.write_bytes(moved if moved != data else data[:-1])


def cut_short(path: Path, random: Random, store: Path) -> None:
    file = any_file(path, random)
    os.truncate(file, int(random.integers(file.stat().st_size)))


def longer(path: Path, random: Random, store: Path) -> None:
    with open(any_file(path, random), "ab") as file:
        file.write(random.bytes(1 + int(random.integers(100))))


def swapped_shards(path: Path, random: Random, store: Path) -> None:
    one, other = (shard_of(path, int(number)) for number in random.choice(SHARDS, 2, replace=False))
    one.rename(path / "moving")
    other.rename(one)
    (path / "moving").rename(other)


def missing_file(path: Path, random: Random, store: Path) -> None:
    any_file(path, random).unlink()


def duplicate_shard(path: Path, random: Random, store: Path) -> None:
    one, other = (shard_of(path, int(number)) for number in random.choice(SHARDS, 2, replace=False))
    shutil.copyfile(one, other)


def one_shard_more(path: Path, random: Random, store: Path) -> None:
    names = ("shard-00003.safetensors", "shard-00000 (1).safetensors", ".shard-00000.safetensors", "shard.safetensors")
    shutil.copyfile(any_shard(path, random), path / random.choice(names))


def stale_shard(path: Path, random: Random, store: Path) -> None:
    """From an earlier data set of the same name, id and layout."""
    name = any_shard(path, random).name
    shutil.copyfile(store / "older.dkds" / name, path / name)


def foreign_shard(path: Path, random: Random, store: Path) -> None:
    shutil.copyfile(any_shard(store / "foreign.dkds", random), any_shard(path, random))


def foreign_manifest(path: Path, random: Random, store: Path) -> None:
    other = store / random.choice(["older.dkds", "foreign.dkds"])
    names = [("manifest.json", "COMMIT"), ("COMMIT",), ("manifest.json",)][int(random.integers(3))]
    for name in names:
        shutil.copyfile(other / name, path / name)


def edited_manifest(path: Path, random: Random, store: Path) -> None:
    """Any change of meaning or of looks, COMMIT left as it was."""
    places = [
        ("client",),
        ("date",),
        ("keys",),
        ("class_names", 0),
        ("views",),
        ("image", "shape"),
        ("prng",),
        ("new",),
    ]
    value = [0, 7, "x", None, [], [4, 4, 3], True, "2026-01-01"][int(random.integers(8))]
    edit_manifest(path, places[int(random.integers(len(places)))], value, commit=False)


def edited_manifest_and_commit(path: Path, random: Random, store: Path) -> None:
    """A change that other things contradict, with a COMMIT that belongs to it."""
    number = int(random.integers(SHARDS))
    tree = json.loads((path / "manifest.json").read_text())
    entry = tree["shards"][number]
    places = {
        ("id",): "0" * 32,
        ("records",): int(random.integers(100)) + 26,
        ("format",): "other",
        ("version",): 2,
        ("image", "shape"): [4, 2, 6],
        ("image", "dtype"): "int8",
        ("scheme", "name"): "horio",
        ("scheme", "parameters", "fixed_blocks"): 3,
        ("shards", number, "sha256"): random.bytes(32).hex(),
        ("shards", number, "bytes"): entry["bytes"] + int(random.integers(1, 100)),
        ("shards", number, "records"): entry["records"] + 1,
        ("shards", number, "file"): random.choice(["../a.safetensors", "/etc/passwd", "shard-00009.safetensors"]),
        ("shards",): tree["shards"][:number] + tree["shards"][number + 1 :],
        ("shards", number): 1,
        ("class_names",): ["only one"],
        ("software",): 3,
    }
    chosen = list(places)[int(random.integers(len(places)))]
    edit_manifest(path, chosen, places[chosen], commit=True)


def not_finished(path: Path, random: Random, store: Path) -> None:
    if random.integers(2):
        (path / "COMMIT").unlink()
    else:
        (path / ".plan.json").write_text("{}")


def not_a_file(path: Path, random: Random, store: Path) -> None:
    file = any_file(path, random)
    file.unlink()
    if random.integers(2):
        file.mkdir()
    else:
        file.symlink_to(random.choice(["nowhere", "/dev/zero", file.name]))


SORTS: list[Callable[[Path, Random, Path], None]] = [
    *[flipped_bit] * 4,
    *[flipped_bits_of_a_shard] * 2,
    overwritten,
    moved_bytes,
    *[cut_short] * 2,
    longer,
    swapped_shards,
    missing_file,
    duplicate_shard,
    one_shard_more,
    stale_shard,
    foreign_shard,
    foreign_manifest,
    edited_manifest,
    *[edited_manifest_and_commit] * 3,
    not_finished,
    not_a_file,
]


def test_the_data_set_itself_is_whole(store: Path) -> None:
    for name in ("a", "older", "foreign"):
        assert verify(store / f"{name}.dkds").whole
    require_whole([store / "a.dkds", store / "foreign.dkds"])


@pytest.mark.parametrize("tenth", range(10))
def test_a_thousand_damages(tenth: int, store: Path, tmp_path: Path) -> None:
    for number in range(100 * tenth, 100 * (tenth + 1)):
        random = np.random.default_rng(number)
        path = tmp_path / f"{number}.dkds"
        shutil.copytree(store / "a.dkds", path)
        sort = SORTS[number % len(SORTS)]
        sort(path, random, store)
        problems = verify(path).problems
        assert problems, (number, sort)
        for problem in problems:
            assert problem.kind in DAMAGE
            assert "\n" not in str(problem)
            assert (problem.kind in ("record-crc", "label", "id")) == (problem.record is not None)
        with pytest.raises(DamagedDataSetError) as refused:
            require_whole([store / "foreign.dkds", path])
        assert (refused.value.kind, str(refused.value)) == (problems[0].kind, str(problems[0])), (number, sort)
        shutil.rmtree(path)
