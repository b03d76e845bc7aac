"""What lies in a folder of photographs, without what cameras, desktops and network drives put beside it."""

import fnmatch
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dkjax.errors import DataError
from dkjax.sources.findings import Skipped

# In lower case; compared so, since the systems that make them ignore case.
_SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "recycler",
        "recycled",
        "#recycle",
        "@recycle",
        "@recently-snapshot",
        "#snapshot",
        "@eadir",
        "@tmp",
        "@sharebin",
        "system volume information",
        "found.000",
        "lost+found",
        "lost.dir",
        "__macosx",
        "network trash folder",
        "temporary items",
        "__pycache__",
    }
)
_SYSTEM_FILES = ("thumbs.db", "ehthumbs*.db", "desktop.ini", "icon\r", "*@synoeastream", "*@synoresource")

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pnm", ".pbm", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".heic", ".heif", ".dcm"),
)
"""How the names of image files end, in lower case; for messages alone, since the content decides."""


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is one that a person does not see: its name begins with a dot."""
    return name.startswith(".")


def is_system_folder(name: str) -> bool:
    """Say whether a folder is one that a recycle bin, a NAS, Windows or an archive of a Mac makes for itself."""
    return name.lower() in _SYSTEM_FOLDERS


def is_system_file(name: str) -> bool:
    """Say whether a file is one that a desktop or a NAS makes for itself, such as `Thumbs.db`."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _SYSTEM_FILES)


class FolderWalk:
    """One pass over folders below a root, in which no folder is read twice.

    Hidden names are not looked at. Folders that systems make for themselves are counted and passed over. Links to
    folders are followed once everything else has been read, so that a link never takes images from the folder
    in which they are.

    Args:
        root: what all names are relative to.

    Attributes:
        left_out: folders that were not read, and why.
        passed_over: how often each system folder was met, by name.

    Guarantees:
        - A linked folder is read once, wherever it leads
          (`tests/sources/test_folder_walk.py::test_links_are_followed_once`).
        - What cannot be read is named (`tests/sources/test_folder_walk.py::test_an_unreadable_folder_is_named`).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: set[tuple[int, int]] = set()
        self.left_out: list[Skipped] = []
        self.passed_over: Counter[str] = Counter()

    def contents(self, folder: str = "") -> tuple[list[str], list[str]]:
        """List one folder.

        Args:
            folder: relative to the root.

        Returns:
            The names of its sub-folders, links to folders included, and of its files, both sorted.

        Raises:
            DataError: it cannot be read.
        """
        try:
            folders, links, files = self._list(folder)
        except OSError as error:
            raise DataError(f"the folder {self._root / folder} cannot be read: {error.strerror}") from error
        return sorted(folders + links), files

    def files(self, folders: Sequence[str]) -> list[list[str]]:
        """List the files below each of several folders.

        Args:
            folders: relative to the root.

        Returns:
            For each folder the paths of its files relative to the root, with `/` between their parts, sorted.
        """
        found: list[list[str]] = [[] for _ in folders]
        waiting = list(enumerate(folders))
        while waiting:
            links: list[tuple[int, str]] = []
            for owner, folder in waiting:
                self._walk(folder, found[owner], owner, links)
            waiting = sorted(links)
        return [sorted(paths) for paths in found]

    def all_files(self) -> list[str]:
        """List all files below the root by their paths, sorted.

        Raises:
            DataError: the root cannot be read.
        """
        folders, files = self.contents()
        return sorted([*files, *(path for paths in self.files(folders) for path in paths)])

    def _walk(self, top: str, found: list[str], owner: int, links_found: list[tuple[int, str]]) -> None:
        stack = [top]
        while stack:
            folder = stack.pop()
            try:
                status = os.stat(self._root / folder)
                if (status.st_dev, status.st_ino) in self._read:
                    self.left_out.append(Skipped(folder, "leads to a folder that is read already"))
                    continue
                self._read.add((status.st_dev, status.st_ino))
                folders, links, files = self._list(folder)
            except OSError as error:
                self.left_out.append(Skipped(folder, f"the folder cannot be read: {error.strerror}"))
                continue
            found += [f"{folder}/{name}" for name in files]
            stack += [f"{folder}/{name}" for name in reversed(folders)]
            links_found += [(owner, f"{folder}/{name}") for name in links]

    def _list(self, folder: str) -> tuple[list[str], list[str], list[str]]:
        """Sub-folders, links to folders, and files, each sorted."""
        folders: list[str] = []
        links: list[str] = []
        files: list[str] = []
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    if is_system_folder(entry.name):
                        self.passed_over[entry.name] += 1
                    else:
                        (links if entry.is_symlink() else folders).append(entry.name)
                elif not is_system_file(entry.name):
                    files.append(entry.name)
        return sorted(folders), sorted(links), sorted(files)
