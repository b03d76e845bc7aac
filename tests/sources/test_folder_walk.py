"""What is read of a folder, and what is not and why."""

import os
from pathlib import Path

import pytest

from dkjax.errors import DataError
from dkjax.sources.findings import Skipped
from dkjax.sources.folder_walk import FolderWalk


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_sorted_by_path(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a/2", "a/b/1", "a/10", "c/1")))
    walk = FolderWalk(tmp_path)
    assert walk.contents() == (["a", "c"], [])
    assert walk.files(["c", "a"]) == [["c/1"], ["a/10", "a/2", "a/b/1"]]
    assert not walk.left_out


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "photos/a/1", tmp_path / "photos/b/2", tmp_path / "archive/deep/3")
    (tmp_path / "archive/back").symlink_to(tmp_path / "photos")  # a circle
    (tmp_path / "photos/a/linked").symlink_to(tmp_path / "archive")
    (tmp_path / "photos/a/other").symlink_to(tmp_path / "photos/b")  # images of another class
    (tmp_path / "photos/b/again").symlink_to(tmp_path / "archive/deep")
    walk = FolderWalk(tmp_path / "photos")
    assert walk.files(["a", "b"]) == [["a/1", "a/linked/deep/3"], ["b/2"]]
    assert sorted(name for name, _ in walk.left_out) == [
        "a/linked/back/a",
        "a/linked/back/b",
        "a/other",
        "b/again",
    ]
    assert {reason for _, reason in walk.left_out} == {"leads to a folder that is read already"}


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/1", tmp_path / "a/locked/2")
    real = os.scandir

    def refusing(path: Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    walk = FolderWalk(tmp_path)
    assert walk.files(["a"]) == [["a/1"]]
    assert walk.left_out == [Skipped("a/locked", "the folder cannot be read: Permission denied")]
    with pytest.raises(DataError, match="locked cannot be read: Permission denied"):
        walk.contents("a/locked")


def test_what_systems_make_for_themselves_is_passed_over(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("a/1.jpg", "a/Thumbs.db", "a/desktop.ini", "a/@eaDir/1.jpg/S.jpg", "a/.DS_Store")
        ),
        *(tmp_path / name for name in ("a/x/@eadir/2.jpg", "$RECYCLE.BIN/3.jpg", "System Volume Information/4.jpg")),
        tmp_path / "__MACOSX/a/._1.jpg",
    )
    walk = FolderWalk(tmp_path)
    assert walk.contents() == (["a"], [])
    assert walk.files(["a"]) == [["a/1.jpg"]]
    assert walk.passed_over == {
        "$RECYCLE.BIN": 1,
        "System Volume Information": 1,
        "__MACOSX": 1,
        "@eaDir": 1,
        "@eadir": 1,
    }
