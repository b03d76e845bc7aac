"""Files that appear whole or not at all, and folders that one process uses at a time."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dkjax.errors import ConfigError, DataError

UNFINISHED = ".unfinished"
"""The suffix of a file that is being written; readers ignore files with it."""

CHECKSUM = "checksum"
"""The name, in every JSON object that is written, of the SHA-256 of the rest."""

LOCK = ".lock"
"""The lock file of a folder that a process is using."""


def special_file(path: Path) -> str | None:
    """Say what a path is where reading it could wait for ever: a named pipe, a socket or a device.

    What a shell hands over, such as `<(command)` or `/dev/stdin`, is not one of them.

    Args:
        path: anything; it need not exist.

    Returns:
        Words for what it is; None for a file, a folder, or nothing.

    Guarantees:
        `test_files.py::test_what_would_wait_for_ever_is_named`.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or path.parts[:2] in (("/", "dev"), ("/", "proc")):
        return None
    return "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Let a file be written under another name, and give it its own once it is on the disk.

    Args:
        path: the file; one that is there already is replaced.

    Yields:
        The path to write to, in the same folder; there is no such file yet. If the body raises, nothing is left of it.

    Guarantees:
        - after the block the file and its name survive a crash of the machine: both are synced.
        - a reader sees the file before or the file after, never a part (`test_files.py::test_whole_or_not_at_all`).
        - what lies under the other name is replaced, not written through
          (`test_files.py::test_leftovers_are_not_written_through`).
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    # What a killed process left may be a link or have other permissions: the file is a new one, whatever was there.
    with contextlib.suppress(FileNotFoundError):
        os.remove(unfinished)
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path, option: str) -> Iterator[Path]:
    """Let a folder be filled under another name, and give it its own once all of it is on the disk.

    Args:
        path: the folder; nothing of that name may be there.
        option: the command-line option that chose it, for messages.

    Yields:
        The empty folder to fill, beside `path`. If the body raises, nothing is left of it; what a killed process left
        is removed when the next one begins.

    Raises:
        ConfigError: there is something of that name, or another process is filling the folder.

    Guarantees:
        - a reader sees no folder or all of it (`test_whole_folder.py::test_whole_or_not_at_all`).
        - two processes never fill one folder (`test_whole_folder.py::test_one_process_at_a_time`).
        - a folder of somebody else's that has the other name stays (`test_whole_folder.py::test_others_are_left`).
    """
    refuse_existing(path, option)
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.mkdir(parents=True, exist_ok=True)
    names = os.listdir(unfinished)
    if names and LOCK not in names:
        raise ConfigError(f"{unfinished} holds other files: remove it, or choose another {option}")
    with alone_in(unfinished, option):
        try:
            # Looked at again: until now another process may have been at work.
            refuse_existing(path, option)
            _remove_contents(unfinished)
            yield unfinished
            _sync_tree(unfinished)
            unfinished.rename(path)
        except BaseException:
            _remove_contents(unfinished)
            (unfinished / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                unfinished.rmdir()
            raise
        # The lock goes last: while the folder had its other name, a process that found no lock would have begun there.
        (path / LOCK).unlink()
        sync(path)
        sync(path.parent)


def refuse_existing(path: Path, option: str) -> None:
    """Refuse to write where something is, be it a link that leads nowhere.

    Args:
        path: where something is to be written.
        option: the command-line option that chose it, for the message.

    Raises:
        ConfigError: there is something of that name.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists and was left as it is: choose another {option}, or remove it")


def _remove_contents(folder: Path) -> None:
    """Remove all but the lock, as far as that is possible."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                os.unlink(entry.path)


def _sync_tree(folder: Path) -> None:
    # File systems write what many threads wait for in one go: a tenth of the time of one after the other.
    with ThreadPoolExecutor(16) as threads:
        _sync_folder(folder, threads)


def _sync_folder(folder: Path, threads: ThreadPoolExecutor) -> None:
    with os.scandir(folder) as entries:
        # A folder may have millions of files: only so many are waited for at a time.
        while some := list(itertools.islice(entries, 256)):
            for entry in some:
                if entry.is_dir(follow_symlinks=False):
                    _sync_folder(Path(entry.path), threads)
            files = [Path(entry.path) for entry in some if entry.is_file(follow_symlinks=False)]
            for _ in threads.map(sync, files):
                pass
    sync(folder)


def sha256_of(path: Path) -> str:
    """Hash a file in constant memory; 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums_of(folder: Path, leave_out: Collection[str] = ()) -> dict[str, str]:
    """Hash every file below a folder.

    Args:
        folder: the folder.
        leave_out: names of files directly in it that do not count.

    Returns:
        SHA-256 of each file, 64 hexadecimal digits, by its path in the folder.
    """
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not (path.parent == folder and path.name in leave_out):
            sums[path.relative_to(folder).as_posix()] = sha256_of(path)
    return sums


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk.

    Some file systems (SMB, sshfs, FUSE) cannot sync a folder and say so; then its names are as safe as they can be.

    Guarantees:
        - only folders are excused (`test_files.py::test_a_folder_that_cannot_be_synced`).
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any], *, private: bool = False) -> None:
    """Write a JSON object, with a checksum of its own, to a file that appears whole or not at all.

    Args:
        path: where; its folder is created.
        value: what; the name `checksum` is taken.
        private: whether only the file's owner may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        if private:
            unfinished.touch(mode=0o600)
        text = json.dumps({**value, CHECKSUM: _checksum(value)}, indent=2, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, printed: bool = False) -> dict[str, Any] | None:
    """Read what `write_json` wrote, without its checksum, or None where there is no such file.

    Args:
        path: the file.
        printed: whether it may be what a command printed with `--json`, which has no checksum.

    Raises:
        DataError: the file is not what was written, or no file; the caller adds what to do.

    Guarantees:
        - a changed value, name or order is noticed (`test_files.py::test_a_changed_json_file_is_noticed`).
        - a named pipe is refused at once (`test_files.py::test_a_pipe_is_no_json`).
    """
    if (kind := special_file(path)) is not None:
        raise DataError(f"{path} is {kind}, no file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if (printed and CHECKSUM not in value) or value.pop(CHECKSUM) == _checksum(value):
            return dict(value)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise DataError(f"{path} is damaged")


def _checksum(value: Mapping[str, Any]) -> str:
    """Hash values, names and their order: what any two programs read from the file, not how it is spaced."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    return hashlib.sha256(json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def read_results(path: Path, *required: str, printed: bool = False) -> dict[str, Any] | None:
    """Read the results of a finished run, or None where there are none.

    Args:
        path: a JSON file that `write_json` wrote.
        *required: keys that it must have.
        printed: as for `read_json`.

    Raises:
        DataError: the file is damaged.
    """
    problem = f"{path} is damaged"
    try:
        results = read_json(path, printed=printed)
        if results is None or set(required) <= results.keys():
            return results
    except DataError as error:
        problem = str(error)
    raise DataError(f"{problem}: remove it, and the command that wrote it makes it again")


@contextlib.contextmanager
def alone_in(folder: Path, option: str) -> Iterator[None]:
    """Work in a folder while no other process does.

    Args:
        folder: a folder that exists.
        option: the command-line option that chose it, for the message.

    Raises:
        ConfigError: another process is working there, or the file system has no locks.

    Guarantees:
        - a process that dies leaves the folder free (`test_files.py::test_a_dead_process_holds_nothing`).
        - a lock that is a link touches nothing behind it (`test_files.py::test_a_lock_is_no_link`).
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process is working in {folder}: wait for it, or choose another {option}"
            ) from None
        except OSError as error:
            # Some cluster file systems are mounted without; then nobody can say whether this process is alone.
            raise ConfigError(
                f"{folder} cannot be locked ({error.strerror}): choose another {option} on another file system"
            ) from None
        yield
    finally:
        os.close(descriptor)
