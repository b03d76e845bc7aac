"""`dkjax verify`: 0 for whole, 4 for damaged, and every problem on a line."""

import json
from pathlib import Path

import pytest
from small_data_sets import flip, header_length, offset_of, shard_of, write_small
from typer.testing import CliRunner

from dkjax.cli.main import app


def run(*arguments: object):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_small(tmp_path / "a.dkds")
    return tmp_path / "a.dkds"


def test_whole(path: Path) -> None:
    result = run(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{path} is whole: 25 images in 3 shards, ")
    assert result.stdout.count("\n") == 1


def test_whole_as_json(path: Path) -> None:
    result = run(path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert report["whole"] is True
    (one,) = report["data_sets"]
    assert one == {
        "path": str(path),
        "whole": True,
        "id": json.loads((path / "manifest.json").read_text())["id"],
        "records": 25,
        "shards": 3,
        "bytes": sum(shard.stat().st_size for shard in path.glob("shard-*")),
        "problems": [],
    }


def test_all_data_sets_are_looked_at(path: Path) -> None:
    other, absent = path.with_name("b.dkds"), path.with_name("c.dkds")
    write_small(other)
    for record in (2, 5):
        flip(shard_of(path, 1), offset_of(shard_of(path, 1), "image") + 48 * record)
    result = run(path, other, absent)
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"record-crc: {shard_of(path, 1)}: record {record} is damaged: copy it again" for record in (2, 5)
    ]
    assert lines[2].startswith(f"{other} is whole")
    assert lines[3].startswith(f"absent: there is no encrypted data set {absent}")
    assert result.stderr == f"dkjax: 2 of 3 data sets not whole: {path} and 1 more\n"

    result = run(path, other, absent, "--json")
    assert (result.exit_code, result.stderr.count("\n")) == (4, 1)
    report = json.loads(result.stdout)
    assert [one["whole"] for one in report["data_sets"]] == [False, True, False]
    first = report["data_sets"][0]["problems"]
    assert [(problem["kind"], problem["shard"], problem["record"]) for problem in first] == [
        ("record-crc", 1, 2),
        ("record-crc", 1, 5),
    ]
    assert report["data_sets"][2]["id"] is None


def test_many_problems_are_not_all_printed(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds", records=2000, shard_images=1000)
    shard = shard_of(tmp_path / "a.dkds", 0)
    data = bytearray(shard.read_bytes())
    data[header_length(shard) :] = bytes(len(data) - header_length(shard))
    shard.write_bytes(data)
    result = run(tmp_path / "a.dkds")
    assert len(result.stdout.splitlines()) == 21
    assert result.stdout.splitlines()[-1] == "... and 980 more problems; --json lists them all"
    assert len(json.loads(run(tmp_path / "a.dkds", "--json").stdout)["data_sets"][0]["problems"]) == 1000


def test_usage() -> None:
    assert run().exit_code == 2


@pytest.mark.parametrize("stray", [".DS_Store", "._manifest.json", "Thumbs.db", "desktop.ini", "@eaDir"])
def test_what_a_file_manager_left(path: Path, stray: str) -> None:
    (path / stray).mkdir() if stray == "@eaDir" else (path / stray).write_bytes(b"\0\5\x16\7")
    result = run(path)
    assert result.exit_code == 4
    assert result.stdout == f"stranger: {path / stray} does not belong into a data set: remove it\n"
