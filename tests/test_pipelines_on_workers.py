"""The examples of docs/pipelines.md for Ray Data and Apache Beam run, on two workers that share no key."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_pipelines import block_with

pytestmark = pytest.mark.pipelines

IMAGE = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)
"""What is encrypted again and again: under one key twice, two results would be equal."""

WATCHED = """
import os, time, uuid
from pathlib import Path

def wait_for_the_other():
    "Return when another process has come here too, so that neither does all of the work."
    Path("workers", str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(os.listdir("workers")) < 2:
        assert time.monotonic() < deadline, "all of the work is done by one process"
        time.sleep(0.02)

def save(images):
    np.save(f"encrypted-by-two/{os.getpid()}-{uuid.uuid4()}.npy", np.stack(images))
"""

ON_RAY = """
def watched(batch, scheme, folder):
    os.chdir(folder)
    wait_for_the_other()
    batch = dkjax.encrypt_batch(batch, scheme=scheme)
    save(batch["image"])
    return {"done": np.ones(len(batch["image"]))}

options = {"scheme": scheme, "folder": os.getcwd()}
plain = ray.data.from_items([{"image": np.load("image.npy")}] * 24, override_num_blocks=8)
assert len(plain.map_batches(watched, fn_kwargs=options).take_all()) == 24
"""

ON_BEAM = """
def watched(elements, folder=os.getcwd()):
    os.chdir(folder)
    wait_for_the_other()
    save([element["image"] for element in encrypt(elements)])

image = np.load("image.npy")
with beam.Pipeline(options=PipelineOptions()) as pipeline:
    (
        pipeline
        | beam.Create([{"image": image, "label": number % 10} for number in range(100)])
        | beam.BatchElements(min_batch_size=16, max_batch_size=256)
        | beam.Map(watched)
    )
"""


def run(folder: Path, program: str, *arguments: str) -> str:
    """Run a program in a folder, and return what it printed."""
    for name in ("workers", "encrypted-by-two"):
        (folder / name).mkdir()
    np.save(folder / "image.npy", IMAGE)
    (folder / "program.py").write_text(program)
    own = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # Ray writes a token into the home folder; the paths of its sockets must be shorter than those of tests are.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:
        own |= {"HOME": str(folder), "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0"}
        ran = subprocess.run(
            [sys.executable, "program.py", *arguments],
            cwd=folder,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


def assert_all_keys_differ(encrypted: np.ndarray, plain: np.ndarray) -> None:
    flat = encrypted.reshape(len(encrypted), -1)
    np.testing.assert_array_equal(np.sort(flat), np.broadcast_to(np.sort(plain.reshape(1, -1)), flat.shape))
    assert len({image.tobytes() for image in [*encrypted, plain]}) == len(encrypted) + 1


def assert_two_workers_shared_no_key(folder: Path, images: int) -> None:
    files = list((folder / "encrypted-by-two").glob("*.npy"))
    assert len({file.name.partition("-")[0] for file in files}) == 2
    encrypted = np.concatenate([np.load(file) for file in files])
    assert len(encrypted) == images
    assert_all_keys_differ(encrypted, IMAGE)


def test_the_example_for_ray_data_runs_on_two_workers(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(24):
        Image.fromarray(IMAGE).save(tmp_path / "photos" / f"{number}.png")
    started = "import ray\nray.init(num_cpus=2, include_dashboard=False)\nimport numpy as np\n"
    run(tmp_path, started + block_with("read_images") + WATCHED + ON_RAY)
    column = pq.read_table(tmp_path / "encrypted")["image"].combine_chunks()
    encrypted = np.array(getattr(column, "storage", column).to_pylist(), np.uint8).reshape(24, 224, 224, 3)
    assert_all_keys_differ(encrypted, np.asarray(Image.fromarray(IMAGE).resize((224, 224), Image.Resampling.BILINEAR)))
    assert_two_workers_shared_no_key(tmp_path, 24)


def test_the_example_for_beam_runs_on_two_workers(tmp_path: Path) -> None:
    two = ["--runner=FnApiRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    said = run(tmp_path, block_with("import apache_beam") + WATCHED + ON_BEAM, *two)
    assert said == "((32, 32, 3), 100)\n"
    assert_two_workers_shared_no_key(tmp_path, 100)
