"""A folder that is there whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from dkjax.errors import ConfigError
from dkjax.runtime.files import whole_folder


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a"
    with whole_folder(path, "--out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not path.exists()
    assert [str(found.relative_to(path)) for found in sorted(path.rglob("*"))] == ["sub", "sub/file"]
    assert [found.name for found in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_failure(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), whole_folder(tmp_path / "a", "--out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        (folder / "link").symlink_to(tmp_path)
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_stays(make: object, tmp_path: Path) -> None:
    make(tmp_path / "a")  # type: ignore[operator]
    with (
        pytest.raises(ConfigError, match="a exists and was left as it is: choose another --out, or remove it"),
        whole_folder(tmp_path / "a", "--out"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_appears_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(OSError), whole_folder(tmp_path / "a", "--out") as folder:
        (folder / "file").touch()
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "other").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "other"]


def test_others_are_left(tmp_path: Path) -> None:
    (tmp_path / "a.unfinished").mkdir()
    (tmp_path / "a.unfinished" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"), whole_folder(tmp_path / "a", "--out"):
        pass
    assert (tmp_path / "a.unfinished" / "thesis.txt").exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        whole_folder(tmp_path / "a", "--out") as folder,
        pytest.raises(ConfigError, match="another process is working"),
    ):
        (folder / "file").touch()
        with whole_folder(tmp_path / "a", "--out"):
            pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from dkjax.runtime.files import whole_folder
with whole_folder(Path({str(tmp_path / "a")!r}), "--out") as folder:
    (folder / "left").mkdir()
    (folder / "left" / "over").touch()
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ConfigError, match="another process"), whole_folder(tmp_path / "a", "--out"):
            pass
        child.kill()
    assert (tmp_path / "a.unfinished" / "left" / "over").exists()
    with whole_folder(tmp_path / "a", "--out") as folder:
        (folder / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]
