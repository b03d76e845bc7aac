"""`dkjax encrypt` where things go wrong for real: killed at random, on a disk that is full, with very many images."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dkjax.dkds import open_data_set
from dkjax.dkds.verify import verify
from dkjax.sources import open_source

pytestmark = pytest.mark.slow

SHARD_IMAGES = 60
COMMAND = [
    *(sys.executable, "-c", "from dkjax.cli.main import main; main()"),
    *("encrypt", "digits", "--out", "a.dkds", "--json", "--set", "data.image_size=32"),
    *("--set", "scheme.block_size=4", "--set", f"store.shard_images={SHARD_IMAGES}"),
]


def values_of(images: np.ndarray) -> list[bytes]:
    return sorted(np.sort(image, axis=None).tobytes() for image in images)


def finished_shards(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.glob("shard-*.safetensors")}


def begin(folder: Path) -> subprocess.Popen:
    """Start the command, and wait until it is writing."""
    child = subprocess.Popen(COMMAND, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while child.poll() is None and not (folder / "a.dkds" / ".plan.json").exists():
        time.sleep(0.01)
    return child


def run_and_kill(folder: Path, after: float | int | None) -> tuple[int, str, str]:
    """Run the command, and kill it after some seconds, or when it has so many shards; exit code, stdout and stderr."""
    with begin(folder) as child:
        started = time.perf_counter()
        while child.poll() is None and after is not None:
            shards = len(list((folder / "a.dkds").glob("shard-*.safetensors")))
            if (shards if isinstance(after, int) else time.perf_counter() - started) >= after:
                child.kill()
            time.sleep(0.001)
        output, errors = child.communicate()
    return child.returncode, output, errors


def test_killed_at_fifty_random_points(tmp_path):
    """Nothing is lost, nothing is silently short, and at most the shard at hand is done again."""
    plain = open_source("digits", None, image_size=(32, 32))[:]["image"]
    path = tmp_path / "a.dkds"
    run_and_kill(tmp_path, 1)
    started = time.perf_counter()
    run_and_kill(tmp_path, None)
    seconds = time.perf_counter() - started
    shutil.rmtree(path)
    draw = random.Random(0)
    kills, landed = 0, set()
    while kills <= 50:
        before = finished_shards(path)
        # By the clock most would hit the compiler: every other one comes at a number of shards.
        point = draw.uniform(0, seconds) if kills % 2 else draw.randint(len(before), 30)
        code, output, errors = run_and_kill(tmp_path, point if kills < 50 else None)
        after = finished_shards(path)
        assert before.items() <= after.items()  # what was finished stays as it is
        if code == -signal.SIGKILL:
            kills += 1
            landed.add(len(after))
            continue
        if code == 0:
            told = json.loads(output)
            assert told["kept"] == min(len(before) * SHARD_IMAGES, len(plain))
            assert told["records"] == len(plain)
        else:  # it had been killed between its last deed and its end
            assert code == 2 and "is finished" in errors, errors
        assert verify(path).whole
        assert values_of(open_data_set(path)[:]["image"]) == values_of(plain)
        shutil.rmtree(path)
        if kills == 50:
            break
    assert len(landed) >= 8  # the kills came at many different points


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(tmp_path, number):
    with begin(tmp_path) as child:
        while child.poll() is None and not finished_shards(tmp_path / "a.dkds"):
            time.sleep(0.01)
        child.send_signal(number)
        _, errors = child.communicate()
    assert child.returncode == 75, errors
    assert errors.splitlines()[-1] == "dkjax: stopped; what was finished is kept, and the same command goes on"
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["records"] == len(open_source("digits", None))


def test_two_at_once(tmp_path):
    with begin(tmp_path) as child:
        second = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
        child.communicate()
    assert (child.returncode, second.returncode) == (0, 2)
    assert "another process is working in a.dkds" in second.stderr or "is finished" in second.stderr
    assert verify(tmp_path / "a.dkds").whole


def test_a_disk_that_is_full(tmp_path):
    """On a file system of 1 MB, in a mount namespace of the test's own."""
    (tmp_path / "disk").mkdir()
    small = tmp_path / "run.sh"
    small.write_text(
        f"""
mount -t tmpfs -o size=1m tmpfs {tmp_path / "disk"} || exit 99
cd {tmp_path / "disk"}
"$@"; echo "code $?" >&2
ls a.dkds >&2
mount -o remount,size=50m {tmp_path / "disk"}
"$@"; echo "code $?" >&2
cp -r a.dkds {tmp_path}
"""
    )
    ran = subprocess.run(
        ["unshare", "-rm", "sh", str(small), *COMMAND], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    if ran.returncode != 0:
        pytest.skip(f"this system does not let the test mount a small disk: {ran.stderr.strip()}")
    first, _, second = ran.stderr.partition("code 75")
    assert "the disk is full; what was finished is kept" in first
    assert "shard-00000.safetensors" in second
    assert "unfinished" not in second
    assert "code 0" in second
    assert verify(tmp_path / "a.dkds").whole
    assert len(open_data_set(tmp_path / "a.dkds")) == len(open_source("digits", None))


GENERATED = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from dkjax import schemes
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.config import KeysConfig

class Generated:
    image_shape, class_names, skipped = (224, 224, 3), ("a", "b"), ()
    def __init__(self, n):
        self.labels = (np.arange(n) % 2).astype(np.int32)
        self._noise = np.random.default_rng(0).integers(0, 256, (256, 224, 224, 3), np.uint8)
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, indices):
        return {"image": self._noise[indices % 256], "label": self.labels[indices]}

n, out = int(sys.argv[1]), Path(sys.argv[2])
started = time.perf_counter()
manifest = encrypt_data_set(Generated(n), out, Order(scheme=schemes.disposable(block_size=16), keys=KeysConfig()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps({"records": manifest.records, "mib": peak, "seconds": time.perf_counter() - started}))
"""


def test_memory_does_not_grow_with_the_images(tmp_path):
    """100 000 images of 224 px, 15 GB of them, in less than 1.5 GiB."""
    if shutil.disk_usage(tmp_path).free < 20e9:
        pytest.skip("needs 20 GB of disk")
    peaks = {}
    for n in (5_000, 100_000):
        command = [sys.executable, "-c", GENERATED, str(n), str(tmp_path / f"{n}.dkds")]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        told = json.loads(ran.stdout)
        assert told["records"] == n
        peaks[n] = told["mib"]
        print(told)
        shutil.rmtree(tmp_path / f"{n}.dkds")
    assert peaks[100_000] < 1.5 * 1024
    assert peaks[100_000] < 1.1 * peaks[5_000]
