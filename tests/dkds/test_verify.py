"""Every kind of damage is told apart, with its shard and its record; what is whole passes."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_data_sets import (
    RECORDS,
    SHAPE,
    SHARD,
    commit_again,
    describe,
    edit_manifest,
    flip,
    header_length,
    offset_of,
    shard_of,
    write_small,
)

from dkjax.dkds import open_writer, writer
from dkjax.dkds import verify as verification
from dkjax.dkds.data_set import open_data_set
from dkjax.dkds.verify import labels_in_range, require_whole, verify
from dkjax.errors import DAMAGE, DamagedDataSetError, DataError


def remove(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def no_folder(path: Path) -> None:
    shutil.rmtree(path)


def begun_again(path: Path) -> None:
    (path / ".plan.json").write_text("{}")


def another_manifest(path: Path) -> None:
    (path / "manifest.json").write_bytes((path / "manifest.json").read_bytes().replace(b"plant-a", b"plant-b"))


def no_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("{}")
    commit_again(path)


def long_manifest(path: Path) -> None:
    with open(path / "manifest.json", "ab") as file:
        file.truncate(100 << 20)


def more_files(path: Path) -> None:
    (path / "notes.txt").touch()


def shard_is_a_folder(path: Path) -> None:
    shard_of(path, 1).unlink()
    shard_of(path, 1).mkdir()


def shard_is_a_pipe(path: Path) -> None:
    shard_of(path, 1).unlink()
    os.mkfifo(shard_of(path, 1))


def shorter(path: Path) -> None:
    os.truncate(shard_of(path, 1), 100)


def header_that_is_none(path: Path) -> None:
    flip(shard_of(path, 1), 8)


def header_of_another_length(path: Path) -> None:
    flip(shard_of(path, 1), 7, 6)


def header_of_fewer_records(path: Path) -> None:
    """All agrees but the number of records."""
    other = path.with_name("few.dkds")
    write_small(other, records=14)
    data = shard_of(other, 1).read_bytes().replace(id_of(other), id_of(path))
    shard_of(path, 1).write_bytes(data)
    edit_manifest(path, ("shards", 1, "bytes"), len(data), commit=True)


def id_of(path: Path) -> bytes:
    return json.loads((path / "manifest.json").read_text())["id"].encode()


def copy_of_shard_0(path: Path) -> None:
    shutil.copyfile(shard_of(path, 0), shard_of(path, 1))


def of_another_data_set(path: Path) -> None:
    write_small(path.with_name("other.dkds"))
    shutil.copyfile(shard_of(path.with_name("other.dkds"), 1), shard_of(path, 1))


def header_written_in_another_order(path: Path) -> None:
    shard = shard_of(path, 1)
    data, first = shard.read_bytes(), header_length(shard)
    header = json.loads(data[8:first])
    text = json.dumps(dict(reversed(header.items())), separators=(",", ":")).encode().ljust(first - 8)
    shard.write_bytes(data[:8] + text + data[first:])


def bit_of(tensor: str, place: int) -> Callable[[Path], None]:
    return lambda path: flip(shard_of(path, 1), offset_of(shard_of(path, 1), tensor) + place, 3)


KINDS: dict[str, tuple[Callable[[Path], None], str, int | None, int | None]] = {
    "no folder": (no_folder, "absent", None, None),
    "a file in its place": (lambda path: (no_folder(path), path.touch())[0], "absent", None, None),
    "no COMMIT": (remove("COMMIT"), "uncommitted", None, None),
    "a plan is there": (begun_again, "uncommitted", None, None),
    "edited manifest": (another_manifest, "commit", None, None),
    "COMMIT is longer": (lambda path: (path / "COMMIT").write_bytes(bytes(1 << 20)), "commit", None, None),
    "COMMIT is empty": (lambda path: (path / "COMMIT").write_bytes(b""), "commit", None, None),
    "manifest is none": (no_manifest, "manifest", None, None),
    "no manifest": (remove("manifest.json"), "manifest", None, None),
    "endless manifest": (long_manifest, "manifest", None, None),
    "one file more": (more_files, "stranger", None, None),
    "shard missing": (remove("shard-00001.safetensors"), "shard-missing", 1, None),
    "shard is a folder": (shard_is_a_folder, "shard-missing", 1, None),
    "shard is a pipe": (shard_is_a_pipe, "shard-missing", 1, None),
    "shard cut short": (shorter, "shard-size", 1, None),
    "no header": (header_that_is_none, "shard-header", 1, None),
    "header of wrong length": (header_of_another_length, "shard-header", 1, None),
    "fewer records": (header_of_fewer_records, "shard-header", 1, None),
    "shard twice": (copy_of_shard_0, "shard-foreign", 1, None),
    "shard of another data set": (of_another_data_set, "shard-foreign", 1, None),
    "header rewritten": (header_written_in_another_order, "shard-hash", 1, None),
    "bit in an image": (bit_of("image", 7 * 48 + 5), "record-crc", 1, 7),
    "bit in a label": (bit_of("label", 4 * 4), "record-crc", 1, 4),
    "bit in an id": (bit_of("id", 9 * 16 + 15), "record-crc", 1, 9),
    "bit in a checksum": (bit_of("crc32", 0), "record-crc", 1, 0),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_small(tmp_path / "a.dkds")
    return tmp_path / "a.dkds"


@pytest.mark.parametrize("name", KINDS)
def test_kind(name: str, path: Path) -> None:
    damage, kind, shard, record = KINDS[name]
    damage(path)
    report = verify(path)
    assert [(problem.kind, problem.shard, problem.record) for problem in report.problems] == [(kind, shard, record)]
    assert not report.whole
    assert "\n" not in str(report.problems[0])
    with pytest.raises(DamagedDataSetError) as refused:
        require_whole([path])
    assert (refused.value.kind, refused.value.shard, refused.value.record) == (kind, shard, record)
    assert refused.value.exit_code == 4


def test_all_kinds_are_tested() -> None:
    others = {"label", "id", "unreadable", "changed"}  # each has a test of its own below
    others |= {"packed", "packed-shard"}  # and these in test_packed.py
    assert {kind for _, kind, _, _ in KINDS.values()} | others == DAMAGE.keys()


def test_whole(path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = verify(path, lambda done, total: calls.append((done, total)))
    assert report.whole
    assert report.manifest is not None
    size = sum(entry.bytes for entry in report.manifest.shards)
    assert calls[0] == (0, size)
    assert calls[-1] == (size, size)
    assert calls == sorted(calls)
    (data_set,) = require_whole([path])
    np.testing.assert_array_equal(data_set[:]["image"], open_data_set(path)[:]["image"])


def test_a_label_outside_the_classes(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", label=7)
    problems = verify(tmp_path / "a.dkds").problems
    assert len(problems) == RECORDS
    assert [(problem.kind, problem.shard, problem.record) for problem in problems[SHARD - 1 : SHARD + 1]] == [
        ("label", 0, SHARD - 1),
        ("label", 1, 0),
    ]
    assert "record 0 has label 7, outside 0..2" in str(problems[SHARD])
    for refuse in (
        lambda: require_whole([tmp_path / "a.dkds"]),
        lambda: labels_in_range(open_data_set(tmp_path / "a.dkds")),
    ):
        with pytest.raises(DamagedDataSetError) as refused:
            refuse()
        assert refused.value.kind == "label"


def test_two_records_with_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = writer._derived

    def one_again(seed: str, purpose: str) -> bytes:
        return derived(seed, "record 0 3" if purpose == "record 2 1" else purpose)

    monkeypatch.setattr(writer, "_derived", one_again)
    write_small(tmp_path / "a.dkds")
    (problem,) = verify(tmp_path / "a.dkds").problems
    assert (problem.kind, problem.shard, problem.record) == ("id", 2, 1)
    assert "record 1 has the id of record 3 of" in str(problem)
    with pytest.raises(DamagedDataSetError, match="has the id of"):
        require_whole([tmp_path / "a.dkds"])


def test_ids_that_agree_in_one_half_are_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = writer._derived

    def half(seed: str, purpose: str) -> bytes:
        whole = derived(seed, purpose)
        return bytes(8) + whole[8:] if purpose.startswith("record") else whole

    monkeypatch.setattr(writer, "_derived", half)
    write_small(tmp_path / "a.dkds")
    assert verify(tmp_path / "a.dkds").whole


def test_a_shard_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = verification._sha256

    def bad_sector(file: Path, advance: Callable[[int], None]) -> str:
        if file == shard_of(path, 1):
            raise OSError(5, "Input/output error")
        return sha256(file, advance)

    monkeypatch.setattr(verification, "_sha256", bad_sector)
    (problem,) = verify(path).problems
    assert (problem.kind, problem.shard) == ("unreadable", 1)
    assert str(problem).endswith("cannot be read: Input/output error")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(path: Path) -> None:
    path.chmod(0)
    (problem,) = verify(path).problems
    path.chmod(0o755)
    assert problem.kind == "unreadable"


def test_all_problems_are_told(path: Path) -> None:
    (path / "notes.txt").touch()
    (path / "more.txt").touch()
    shard_of(path, 0).unlink()
    for record in (2, 5):
        bit_of("image", record * 48)(path)
    flip(shard_of(path, 2), 10)
    found = [(problem.kind, problem.shard, problem.record) for problem in verify(path).problems]
    assert found == [
        ("stranger", None, None),
        ("stranger", None, None),
        ("shard-missing", 0, None),
        ("shard-header", 2, None),
        ("record-crc", 1, 2),
        ("record-crc", 1, 5),
    ]


def test_a_shard_without_records(tmp_path: Path) -> None:
    """None of its images could be read when it was written."""
    with open_writer(
        tmp_path / "a.dkds", describe(), client=None, num_items=2 * SHARD, shard_images=SHARD, request={}
    ) as writing:
        for number, count in enumerate((0, 3)):
            writing.add(number, {"image": np.zeros((count, *SHAPE), np.uint8), "label": np.zeros(count, np.int32)})
        writing.commit()
    assert verify(tmp_path / "a.dkds").whole
    shard_of(tmp_path / "a.dkds", 1).unlink()
    assert [problem.kind for problem in verify(tmp_path / "a.dkds").problems] == ["shard-missing"]


def test_shards_behind_links(path: Path) -> None:
    """Some stores keep the bytes elsewhere, under their hash."""
    for shard in path.glob("shard-*"):
        shard.rename(path.parent / f"object-{shard.name}")
        shard.symlink_to(path.parent / f"object-{shard.name}")
    assert verify(path).whole
    shard_of(path, 1).unlink()
    shard_of(path, 1).symlink_to("/dev/zero")
    assert [problem.kind for problem in verify(path).problems] == ["shard-missing"]


def test_one_data_set_twice(path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.dkds is the same data set as .*a\.dkds: give it once"):
        require_whole([path, path])
    shutil.copytree(path, path.with_name("b.dkds"))
    with pytest.raises(DataError, match=r"b\.dkds is the same data set as .*a\.dkds: give it once$"):
        require_whole([path, path.with_name("b.dkds")])


def test_two_clients_with_one_seed(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_small(tmp_path / f"{name}.dkds", seed=bytes(16), noise=number, keys="reproducible")
    with pytest.raises(DataError, match="clients that share a seed need names of their own"):
        require_whole([tmp_path / "a.dkds", tmp_path / "b.dkds"])


def test_two_data_sets_with_records_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = writer._derived
    constant = lambda seed, purpose: derived("0" if purpose.startswith("record") else seed, purpose)  # noqa: E731
    monkeypatch.setattr(writer, "_derived", constant)
    for name in ("a", "b"):
        write_small(tmp_path / f"{name}.dkds")
        assert verify(tmp_path / f"{name}.dkds").whole
    with pytest.raises(
        DamagedDataSetError, match=r"b\.dkds/shard.*record 0 has the id of record 0 of .*a\.dkds"
    ) as twice:
        require_whole([tmp_path / "a.dkds", tmp_path / "b.dkds"])
    assert (twice.value.kind, twice.value.shard, twice.value.record) == ("id", 0, 0)


def test_several_data_sets(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.dkds" for name in "abc"]
    for number, path in enumerate(paths):
        write_small(path, noise=number)
    opened = require_whole(paths)
    assert [data_set.path for data_set in opened] == paths
    flip(shard_of(paths[1], 2), -1)
    with pytest.raises(DamagedDataSetError, match=r"b\.dkds"):
        require_whole(paths)
    # What shows at once is said before all bytes of the others are read.
    shard_of(paths[2], 0).unlink()
    with pytest.raises(DamagedDataSetError, match=r"c\.dkds"):
        require_whole(paths)


def test_no_data_set() -> None:
    with pytest.raises(DataError, match="there is no data set to train on"):
        require_whole([])


def test_many_shards_that_are_not_there(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", records=150, shard_images=1)
    for number in range(1, 149):
        shard_of(tmp_path / "a.dkds", number).unlink()
    problems = verify(tmp_path / "a.dkds").problems
    assert [problem.shard for problem in problems] == list(range(1, 102))
    assert {problem.kind for problem in problems} == {"shard-missing"}
    assert str(problems[-1]).endswith("a.dkds: 48 more shards are missing: copy the data set again")
