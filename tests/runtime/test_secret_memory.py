"""Memory for secrets: overwritten at the end, and not there for others."""

import gc
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dkjax.runtime.secret_memory import SecretWords, overwrite_bytes


def test_an_array_like_others():
    secret = SecretWords(3, 8)
    assert (secret.words.shape, secret.words.dtype, secret.wiped) == ((3, 8), np.uint32, False)
    assert not secret.words.any()
    secret.words[1] = 7
    assert secret.words.sum() == 56
    assert SecretWords(0, 8).words.shape == (0, 8)


@pytest.mark.parametrize("end", ["wipe", "block", "collected"])
def test_wiped(end):
    secret = SecretWords(8)
    words = secret.words
    words[:] = range(8)
    if end == "wipe":
        secret.wipe()
        secret.wipe()
        assert secret.wiped
    elif end == "block":
        with secret as inside:
            assert inside is words
        assert secret.wiped
    else:
        del secret
        gc.collect()
    assert not words.any()


FORK = """
import os
from dkjax.runtime.secret_memory import SecretWords
secret = SecretWords(8)
secret.words[:] = 7
child = os.fork()
if child == 0:
    os._exit(int(secret.words.any()))
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), secret.words.sum())
"""


def test_a_forked_process_finds_zeros():
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "56"]


def test_not_in_core_dumps():
    secret = SecretWords(8)
    address = secret.words.ctypes.data
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        first, _, last = line.split()[0].partition("-")
        if last and int(first, 16) <= address < int(last, 16):
            break
    flags = next(line for line in lines if line.startswith("VmFlags")).split()
    assert {"dd", "wf"} <= set(flags)


def test_jax_does_not_share_it():
    secret = SecretWords(64)
    secret.words[:] = 7
    array = jax.device_put(secret.words).block_until_ready()
    secret.wipe()
    assert (np.asarray(array) == 7).all()


def test_bytes_are_overwritten():
    data = bytes(range(1, 33))
    overwrite_bytes(data)
    assert data == bytes(32)
    one = bytes([200])
    overwrite_bytes(one)
    assert one == b"\xc8"
