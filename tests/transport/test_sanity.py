"""Images that are none, and images that are there twice."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_data_sets import SHAPE, describe

from dkjax.dkds import EncryptedDataSet, open_data_set, open_writer
from dkjax.errors import DataError
from dkjax.transport.sanity import Limits, check_images, fingerprints

RANDOM = np.random.default_rng(0)
NOTHING = np.zeros(0, np.uint64)
ANYTHING = Limits(1.0, 1.0, 1.0)


def data_set(path: Path, images: np.ndarray, views: int = 1) -> EncryptedDataSet:
    description = describe(views=views)
    with open_writer(path, description, client="a", num_items=len(images), shard_images=7, request={}) as writer:
        for number in writer.missing:
            some = images[writer.items_of(number)]
            writer.add(number, {"image": some, "label": np.zeros(len(some), np.int32)})
        writer.commit()
    return open_data_set(path)


def noise(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, *SHAPE), np.uint8)


def test_a_permutation_changes_nothing() -> None:
    images = noise(20)
    moved = np.stack([RANDOM.permutation(image.reshape(-1)).reshape(SHAPE) for image in images])
    assert (fingerprints(moved) == fingerprints(images)).all()
    assert len(np.unique(fingerprints(images))) == 20
    other = images.copy()
    other[:, 0, 0, 0] ^= 1
    assert (fingerprints(other) != fingerprints(images)).all()


def test_what_is_found(tmp_path: Path) -> None:
    images = noise(20)
    images[3], images[7] = 5, 255
    images[11] = images[12][::-1]
    images[13] = images[12][:, ::-1]
    found = check_images(data_set(tmp_path / "a.dkds", images), fingerprints(images[15:18]), ANYTHING)
    assert (found.constant, found.duplicates, found.elsewhere) == (2, 2, 3)
    assert sorted(found.prints) == sorted(fingerprints(images))


def test_views_are_no_duplicates(tmp_path: Path) -> None:
    images = noise(6)
    twice = np.concatenate([images, images[:, ::-1]])
    assert check_images(data_set(tmp_path / "a.dkds", twice, views=2), NOTHING, ANYTHING).duplicates == 0
    assert check_images(data_set(tmp_path / "b.dkds", twice), NOTHING, ANYTHING).duplicates == 6


@pytest.mark.parametrize(("field", "words"), [("constant", "one value alone"), ("duplicates", "more than once")])
def test_limits(field: str, words: str, tmp_path: Path) -> None:
    images = noise(20)
    images[3] = 9
    images[5] = images[6]
    opened = data_set(tmp_path / "a.dkds", images)
    check_images(opened, NOTHING, dataclasses.replace(ANYTHING, **{field: 0.05}))
    with pytest.raises(DataError, match=f"1 of 20 images (have|are there) {words}, more than 4% of them"):
        check_images(opened, NOTHING, dataclasses.replace(ANYTHING, **{field: 0.04}))


def test_images_of_others(tmp_path: Path) -> None:
    images = noise(20)
    opened = data_set(tmp_path / "a.dkds", images)
    check_images(opened, fingerprints(images), Limits())
    with pytest.raises(DataError, match="20 of 20 images are in a data set that was accepted before"):
        check_images(opened, fingerprints(images), Limits(elsewhere=0.5))
