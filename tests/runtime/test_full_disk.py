"""A full disk, whatever it is raised as, is what Python raises; everything else stays what it is."""

import errno
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dkjax.runtime.full_disk import full_disk_is_an_os_error, quiet_about_full_disk, require_room

TENSORSTORE = "RESOURCE_EXHAUSTED: Error writing local file: Failed to write 7 bytes: No space left on device"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(TENSORSTORE), errno.ENOSPC),
        (RuntimeError("Disk quota exceeded"), errno.EDQUOT),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a"), errno.ENOSPC),
    ],
)
def test_is_an_os_error(error: Exception, code: int) -> None:
    with pytest.raises(OSError) as caught, full_disk_is_an_os_error():
        raise error
    assert caught.value.errno == code


def test_room_is_looked_for_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {"a": np.zeros(1 << 20, np.float32), "b": np.zeros(3, np.int32)}
    usage = shutil.disk_usage(tmp_path)
    require_room(tmp_path / "not" / "there", tree)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=(5 << 20) - 1))
    with pytest.raises(OSError) as caught:
        require_room(tmp_path / "not" / "there", tree)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("error", [ValueError("RESOURCE_EXHAUSTED: out of memory"), KeyError("a"), OSError("b")])
def test_other_errors_stay(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, full_disk_is_an_os_error():
        raise error
    assert caught.value is error


def test_threads_do_not_tell_it_at_length(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("absl")

    def tell(error: Exception) -> None:
        try:
            raise error
        except Exception:
            logger.exception("thread failed")

    with quiet_about_full_disk():
        tell(ValueError(TENSORSTORE))
        tell(FileNotFoundError(errno.ENOENT, "No such file or directory", "w/checkpoints/1"))
        tell(ValueError('NOT_FOUND: Error writing "params" in OCDBT database'))
        tell(ValueError("something else"))
        logger.error("without an exception")
    tell(ValueError(TENSORSTORE))
    assert [str(record.exc_info[1]) if record.exc_info else record.getMessage() for record in caplog.records] == [
        "something else",
        "without an exception",
        TENSORSTORE,
    ]
