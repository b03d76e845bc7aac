"""A mapped file that is cut short under a command: one line instead of a crash."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
from pathlib import Path
import numpy as np
from dkjax.cli.bus_error import explain_bus_errors
from dkjax.input.record_pool import RecordPool
from dkjax.runtime.mapped_file import map_file
explain_bus_errors()
flat, file = map_file(Path(sys.argv[1]))
pool = RecordPool([{"image": flat.reshape(-1, 256, 256, 1), "label": np.zeros(200, np.int32)}], [file])
os.truncate(sys.argv[1], 1 << 16)
print("before", flush=True)
if sys.argv[2] == "threads":
    pool[np.arange(200)]
else:
    flat[-1].item()
print("after")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the crash stays")
@pytest.mark.parametrize("reader", ["threads", "python"])
def test_a_file_cut_short_is_named(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.safetensors"
    path.write_bytes(bytes(200 << 16))
    done = subprocess.run([sys.executable, "-c", CODE, str(path), reader], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (4, "before\n")
    assert done.stderr == (
        f"dkjax: {path} was cut short while it was in use, or its disk fails: copy it again, and the same command goes "
        "on from what was finished before\n"
    )
