"""Files that appear whole or not at all, and folders that one process works in at a time."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dkjax.errors import ConfigError, DataError
from dkjax.runtime.files import LOCK, alone_in, read_json, read_results, special_file, whole_file, write_json


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    with whole_file(path) as unfinished:
        assert unfinished.parent == tmp_path
        unfinished.write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), whole_file(path) as unfinished:
        unfinished.write_text("two, begun")
        assert path.read_text() == "one"
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), whole_file(path) as unfinished:
        unfinished.write_text("three, not on the disk")
    monkeypatch.undo()
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["file"]
    with whole_file(path) as unfinished:
        unfinished.write_text("four")
    assert path.read_text() == "four"


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError), whole_file(tmp_path / "file") as unfinished:
        unfinished.write_text("text")
    assert os.listdir(tmp_path) == ["file"]


def test_leftovers_are_not_written_through(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.write_text("years of work")
    (tmp_path / "file.unfinished").symlink_to(thesis)
    with whole_file(tmp_path / "file") as unfinished:
        unfinished.write_text("text")
    assert thesis.read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "text"
    assert not (tmp_path / "file").is_symlink()


def test_a_private_file_is_private_whatever_was_left(tmp_path: Path) -> None:
    (tmp_path / "plan.json.unfinished").touch(mode=0o666)
    write_json(tmp_path / "plan.json", {}, private=True)
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0


def test_write_json_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "result.json"
    assert read_json(path) is None
    for bad in ({"a": [1, 2, object()]}, {"a": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            write_json(path, bad)
        assert read_json(path) is None
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_json(path, {"a": 2})
    monkeypatch.undo()
    assert read_json(path) == {"a": 1}
    write_json(path, {"a": 3})
    assert read_json(path) == {"a": 3}
    assert os.listdir(path.parent) == ["result.json"]


def test_alone(tmp_path: Path) -> None:
    with alone_in(tmp_path, "--out"):
        with (
            pytest.raises(ConfigError, match=f"another process is working in {tmp_path}: .* choose another --out"),
            alone_in(tmp_path, "--out"),
        ):
            pass
        (tmp_path / "other").mkdir()
        with alone_in(tmp_path / "other", "--out"):
            pass
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path, "--out"):
        raise ZeroDivisionError
    with alone_in(tmp_path, "--out"):
        pass


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dkjax.runtime.files import alone_in\n"
        "with alone_in(Path(sys.argv[1]), '--out'): print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ConfigError, match="another process"), alone_in(tmp_path, "--out"):
            pass
        child.kill()
    with alone_in(tmp_path, "--out"):
        pass


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.write_text("years of work")
    (tmp_path / LOCK).symlink_to(thesis)
    with pytest.raises(OSError, match="symbolic link"), alone_in(tmp_path, "--out"):
        pass
    assert thesis.read_text() == "years of work"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigError, match=r"cannot be locked \(Operation not supported\)"), alone_in(tmp_path, "--out"):
        pass


def test_what_would_wait_for_ever_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        assert special_file(tmp_path / "s") == "a socket"
    assert special_file(tmp_path / "pipe") == special_file(tmp_path / "link") == "a named pipe"
    for path in (tmp_path / "file", tmp_path, tmp_path / "absent", Path("/dev/null"), Path("/dev/fd/0")):
        assert special_file(path) is None


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch, code):
    refused = {"folders": code}

    def refuse(descriptor):
        kind = "folders" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "files"
        if kind in refused:
            raise OSError(refused[kind], "refused")

    monkeypatch.setattr(os, "fsync", refuse)
    with whole_file(tmp_path / "a") as unfinished:
        unfinished.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"
    for refused in ({"files": code}, {"folders": errno.EIO}):  # noqa: B007 (fsync looks at it)
        with pytest.raises(OSError, match="refused"), whole_file(tmp_path / "b") as unfinished:
            unfinished.write_text("whole")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"b": 1}', "[" * 100_000])
def test_damaged_results(tmp_path, text):
    path = tmp_path / "results.json"
    assert read_results(path, "a") is None
    path.write_text(text)
    with pytest.raises(DataError, match=r"results\.json is damaged: remove it"):
        read_results(path, "a")
    write_json(path, {"b": 1})
    with pytest.raises(DataError, match=r"results\.json is damaged: remove it"):
        read_results(path, "a")
    write_json(path, {"a": 1})
    assert read_results(path, "a") == {"a": 1}


VALUE = {"accuracy": 0.1 + 0.2, "names": ["crack", "whole"], "of": {"b": 1, "a": None}, "text": "\u00e9\n"}


def test_a_changed_json_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, VALUE)
    text = path.read_text()
    assert read_json(path) == VALUE
    path.write_text(json.dumps(json.loads(text)))  # spaced otherwise
    assert read_json(path) == VALUE
    changes = [
        ("0.30000000000000004", "0.30000000000000003"),
        ("crack", "whole"),
        ('"a": null,', '"a": 0,'),
        ("null", "NaN"),
        ("checksum", "checksun"),
        ('"checksum": "', '"checksum": "0'),
    ]
    for old, new in changes:
        changed = text.replace(old, new, 1)
        path.write_text(changed)
        # The 17th digit changes nothing that a program reads.
        if json.loads(changed) == json.loads(text):
            assert read_json(path) == VALUE
            continue
        with pytest.raises(DataError, match=r"a\.json is damaged"):
            read_json(path)
    swapped = json.loads(text)
    swapped["of"] = {"a": None, "b": 1}
    path.write_text(json.dumps(swapped))
    with pytest.raises(DataError, match=r"a\.json is damaged"):
        read_json(path)
    for at in range(0, 8 * len(text), 7):
        flipped = bytearray(text.encode())
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with contextlib.suppress(DataError):
            assert read_json(path) == VALUE  # another space, say


def test_a_pipe_is_no_json(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    for read in (read_json, read_results):
        with pytest.raises(DataError, match=r"a\.json is a named pipe, no file"):
            read(tmp_path / "a.json")
