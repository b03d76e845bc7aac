"""docs/pipelines.md does what it says: its code for Hugging Face `datasets` runs, and what it warns of is so."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import dkjax

PAGE = Path(__file__).parent.parent / "docs" / "pipelines.md"
BLOCKS = re.findall(r"^( *)```python\n(.*?)^ *```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def block_with(text: str) -> str:
    (code,) = [code for _, code in BLOCKS if text in code]
    return code


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photographs that tell of their patients, in the current directory; caches of this test's own."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x010E] = "patient 7"
    for name in ("scratch", "whole"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            picture = Image.fromarray(rng.integers(0, 256, (16, 32, 3), np.uint8))
            picture.save(tmp_path / "photos" / name / f"patient-{number}.jpg", exif=exif)
    return tmp_path / "photos"


def pixels(pictures: Any) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures])


def sorted_values(images: np.ndarray) -> np.ndarray:
    return np.sort(images.reshape(len(images), -1), axis=1)


def test_every_example_is_python() -> None:
    assert len(BLOCKS) == 5
    for indent, code in BLOCKS:
        ast.parse("\n".join(line.removeprefix(indent) for line in code.splitlines()))


def test_the_first_example_runs() -> None:
    names: dict[str, Any] = {}
    exec(block_with("np.zeros((5, 224"), names)
    assert names["encrypted"]["image"].shape == (5, 224, 224, 3)
    assert names["encrypted"]["label"] == [0, 1, 0, 1, 1]


def test_the_example_for_datasets_runs(photos: Path) -> None:
    names: dict[str, Any] = {}
    exec(block_with("load_dataset"), names)
    plain, encrypted = names["plain"], names["encrypted"]
    assert encrypted.features == plain.features
    assert encrypted["label"] == plain["label"]
    before, after = pixels(plain["image"]), pixels(encrypted["image"])
    np.testing.assert_array_equal(sorted_values(after), sorted_values(before))
    assert not {image.tobytes() for image in before} & {image.tobytes() for image in after}
    # What is written is PNG without a name and without what the photographs told.
    cells = pq.read_table("encrypted.parquet").to_pydict()["image"]
    assert {(cell["path"], cell["bytes"][:4]) for cell in cells} == {(None, b"\x89PNG")}
    assert b"patient" not in Path("encrypted.parquet").read_bytes()


def test_caches_are_what_the_page_warns_of(photos: Path) -> None:
    from datasets import load_dataset

    plain = load_dataset("imagefolder", data_dir="photos", split="train")
    options = {"batched": True, "fn_kwargs": {"scheme": dkjax.schemes.disposable(16), "prng": "threefry2x32"}}
    first = pixels(plain.map(dkjax.encrypt_batch, **options)["image"])
    again = pixels(plain.map(dkjax.encrypt_batch, **options)["image"])
    anew = pixels(plain.map(dkjax.encrypt_batch, **options, load_from_cache_file=False)["image"])
    np.testing.assert_array_equal(first, again)
    assert not {image.tobytes() for image in first} & {image.tobytes() for image in anew}
    # The plain photographs, by path, are in a file of the cache.
    cached = b"".join(path.read_bytes() for path in Path("cache").rglob("*.arrow"))
    assert b"patient-0.jpg" in cached


@pytest.mark.parametrize("columns", ["Array3D", "List", "numpy", "iterable"])
def test_other_columns_of_datasets(columns: str) -> None:
    from datasets import Array3D, Dataset, Features, List, Value, disable_progress_bars

    disable_progress_bars()
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3), np.uint8)
    feature = Array3D((8, 12, 3), "uint8") if columns == "Array3D" else List(List(List(Value("uint8"))))
    features = Features({"image": feature, "label": Value("int32")})
    plain = Dataset.from_dict({"image": images, "label": range(5)}, features=features)
    if columns == "numpy":
        plain = plain.with_format("numpy")
    if columns == "iterable":
        plain = plain.to_iterable_dataset()
    options = {"scheme": dkjax.schemes.disposable(4), "prng": "threefry2x32"}
    encrypted = plain.map(dkjax.encrypt_batch, batched=True, batch_size=2, fn_kwargs=options)
    assert encrypted.features == features or columns == "iterable"
    found = np.stack([np.asarray(record["image"], np.uint8) for record in encrypted])
    np.testing.assert_array_equal(sorted_values(found), sorted_values(images))
    assert not np.array_equal(found, images)


TWO_PROCESSES = """
import sys
import datasets, multiprocess
import numpy as np
import dkjax

if __name__ == "__main__":
    options = {"scheme": dkjax.schemes.disposable(4), "prng": "threefry2x32"}
    same = {"image": np.full((4, 8, 8, 1), np.arange(64).reshape(8, 8, 1), np.uint8)}
    # JAX is at work here before the others begin.
    assert dkjax.encrypt_batch(same, **options)["image"].shape == (4, 8, 8, 1)
    multiprocess.set_start_method(sys.argv[1])
    plain = datasets.Dataset.from_dict(same).with_format("numpy")
    try:
        encrypted = plain.map(dkjax.encrypt_batch, batched=True, fn_kwargs=options, num_proc=2)
    except dkjax.errors.ForkedProcessError:
        sys.exit(3)
    assert len({image.tobytes() for image in encrypted["image"]}) == 4
"""


@pytest.mark.parametrize(("method", "code"), [("spawn", 0), ("fork", 3)])
def test_two_processes(method: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TWO_PROCESSES)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    run = subprocess.run(
        [sys.executable, "program.py", method],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == code, run.stderr
