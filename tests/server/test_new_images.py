"""Images without labels: every file of a folder once, and what training would have seen of it."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data_sets import flip, offset_of, shard_of, write_small

from dkjax.config import DataConfig, parse_as
from dkjax.dkds import open_data_set
from dkjax.errors import DataError
from dkjax.runtime.files import write_json
from dkjax.server.new_images import NewImages, preparation_of
from dkjax.sources import Skipped, open_source
from dkjax.sources.image_folder import ImageFolderSource
from dkjax.sources.open import open_configured
from dkjax.sources.preparation import Preparation

SHAPE = (8, 12, 3)


def photo(path: Path, size: tuple[int, int] = (8, 12), seed: int = 0, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(values).save(path, **options)  # type: ignore[arg-type]
    return path


def read(*paths: Path, shape: tuple[int, int, int] = SHAPE) -> tuple[NewImages, list[str], np.ndarray]:
    found = NewImages(paths, shape)
    chunks = list(found)
    return found, [name for chunk in chunks for name in chunk.names], np.concatenate([chunk.images for chunk in chunks])


def test_files_of_a_folder_at_any_depth(tmp_path: Path) -> None:
    names = ["b.png", "a/deep/er/1.png", "a/2.PNG", "c.png"]
    for seed, name in enumerate(names):
        photo(tmp_path / "p" / name, seed=seed)
    for stray in (".hidden.png", "@eaDir/b.png", "__MACOSX/b.png", ".git/x.png", "Thumbs.db"):
        (tmp_path / "p" / stray).parent.mkdir(exist_ok=True)
        (tmp_path / "p" / stray).write_bytes(b"x")
    found, read_names, images = read(tmp_path / "p")
    order = ["a/2.PNG", "a/deep/er/1.png", "b.png", "c.png"]
    assert read_names == [str(tmp_path / "p" / name) for name in order]
    assert (found.total, found.skipped, found.resized) == (4, [], 0)
    for name, image in zip(order, images, strict=True):
        expected = np.random.default_rng(names.index(name)).integers(0, 256, SHAPE, np.uint8)
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("shape", [(8, 12, 3), (8, 12, 1)])
def test_another_size_as_at_training(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    photo(tmp_path / "p" / "class" / "0.png", (8, 12))
    photo(tmp_path / "p" / "class" / "1.png", (30, 17))
    photo(tmp_path / "p" / "class" / "2.jpg", (12, 8), exif=Image.Exif())
    turned = Image.Exif()
    turned[0x0112] = 6
    photo(tmp_path / "p" / "class" / "3.jpg", (12, 8), exif=turned)  # 8 x 12 once it is turned
    found, _, images = read(tmp_path / "p", shape=shape)
    training = ImageFolderSource(tmp_path / "p", shape[:2], shape[2])[:]["image"]
    np.testing.assert_array_equal(images, training)
    assert found.resized == 2


@pytest.mark.parametrize("workdir", ["run", "sim/arms/plain/run-0"])
def test_prepared_as_at_training(tmp_path: Path, workdir: str) -> None:
    """Of other proportions and of 16 bits, by the configuration that the work directory keeps."""
    (tmp_path / workdir).mkdir(parents=True)
    held = {"hash": "", "config": {"data": {"source": "x", "resize": "crop", "range": [0, 4095]}}}
    write_json(tmp_path / workdir.partition("/")[0] / "config.json", held)
    photo(tmp_path / "p" / "class" / "0.png", (30, 17))
    deep = np.random.default_rng(0).integers(0, 4096, (8, 12), np.uint16)
    Image.fromarray(deep).save(tmp_path / "p" / "class" / "1.png")
    preparation = preparation_of(tmp_path / workdir)
    assert preparation == Preparation("crop", (0, 4095))
    images = np.concatenate([chunk.images for chunk in NewImages([tmp_path / "p"], SHAPE, preparation)])
    options = {"image_size": SHAPE[:2], "channels": 3, "resize": "crop", "range": [0, 4095], "decode": "exact"}
    config = parse_as(DataConfig, {"source": str(tmp_path / "p"), **options})
    np.testing.assert_array_equal(images, open_configured(config, None)[:]["image"])
    assert images[1].std() > 20


def test_scaled_as_at_training(tmp_path: Path) -> None:
    held = {"hash": "", "config": {"data": {"source": "x", "decode": "scaled"}}}
    write_json(tmp_path / "config.json", held)
    assert preparation_of(tmp_path) == Preparation(decode="scaled")
    photo(tmp_path / "p" / "class" / "0.jpg", (80, 120))
    images = np.concatenate([chunk.images for chunk in NewImages([tmp_path / "p"], SHAPE, preparation_of(tmp_path))])
    config = parse_as(DataConfig, {"source": str(tmp_path / "p"), "image_size": SHAPE[:2], "channels": 3})
    np.testing.assert_array_equal(images, open_configured(config, None)[:]["image"])
    exactly = open_configured(config.model_copy(update={"decode": "exact"}), None)[:]["image"]
    assert (images != exactly).any()


def test_a_configuration_that_is_damaged(tmp_path: Path) -> None:
    assert preparation_of(tmp_path) == Preparation()
    for text in ("{", "[]", '{"config": 3}', '{"config": {"data": {"resize": "stretched"}}}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(DataError, match=r"config\.json is not the configuration of a training"):
            preparation_of(tmp_path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    photo(tmp_path / "p" / "0.png")
    (tmp_path / "p" / "1.png").write_bytes(b"no image")
    found, names, _ = read(tmp_path / "p")
    assert names == [str(tmp_path / "p" / "0.png")]
    assert found.total == 2
    assert [one.name for one in found.skipped] == [str(tmp_path / "p" / "1.png")]
    assert "not an image file" in found.skipped[0].reason


def test_linked_folders(tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "1.png")
    photo(tmp_path / "p" / "0.png")
    (tmp_path / "p" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "circle").symlink_to(tmp_path / "p")
    found, names, _ = read(tmp_path / "p")
    assert names == [str(tmp_path / "p" / name) for name in ("0.png", "linked/1.png")]
    assert found.skipped == [Skipped(str(tmp_path / "p" / "circle"), "leads to a folder that is read already")]


@pytest.mark.parametrize("name", ["pipe.png", "pipe.npz"])
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    found, names, _ = read(tmp_path / name)
    assert (names, [one.reason for one in found.skipped]) == ([], ["not a regular file"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    photo(tmp_path / "p" / "0.png")
    (tmp_path / "p" / "closed").mkdir(mode=0)
    found, _, _ = read(tmp_path / "p")
    assert [one.reason for one in found.skipped] == ["Permission denied"]


def test_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 10, 10), np.uint8)
    np.savez(tmp_path / "a.npz", image=images)
    found, names, read_images = read(tmp_path / "a.npz", shape=(8, 12, 1))
    assert (found.total, found.resized) == (300, 300)
    assert [names[0], names[299]] == [f"{tmp_path / 'a.npz'}[{number}]" for number in (0, 299)]
    np.savez(tmp_path / "b.npz", image=images, label=np.arange(300) % 2)
    training = open_source(str(tmp_path / "b.npz"), None, image_size=(8, 12))[:]["image"]
    np.testing.assert_array_equal(read_images, training)


def test_an_encrypted_data_set(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    found, names, images = read(tmp_path / "a.dkds", shape=(4, 4, 3))
    np.testing.assert_array_equal(images, open_data_set(tmp_path / "a.dkds")[:]["image"])
    assert (found.total, found.resized, names[24]) == (25, 0, f"{tmp_path / 'a.dkds'}[24]")
    with pytest.raises(DataError, match=r"shape \[4, 4, 3\]"):
        NewImages([tmp_path / "a.dkds"], SHAPE)
    flip(shard_of(tmp_path / "a.dkds", 1), offset_of(shard_of(tmp_path / "a.dkds", 1), "image"))
    with pytest.raises(DataError, match="is damaged"):
        NewImages([tmp_path / "a.dkds"], (4, 4, 3))


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for name, text in (
        ("absent", "no file or folder .*absent: expected an image, a folder of images"),
        ("empty", "no image in the folder .*empty"),
        ("other.npz", "has no array 'image', but x: write those to be predicted as 'image'"),
    ):
        with pytest.raises(DataError, match=text):
            NewImages([tmp_path / name], SHAPE)
    with pytest.raises(DataError, match="plain images have 1 or 3 channels, the model's 4"):
        NewImages([tmp_path], (8, 12, 4))
