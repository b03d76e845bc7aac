"""A client's images become a data set: every image once, every key once, and a stop costs at most a shard."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dkjax import keys, schemes
from dkjax.client import data_set as handover
from dkjax.client.data_set import Order, encrypt_data_set, estimate
from dkjax.client.upload import encrypt_records
from dkjax.config import AugmentConfig, KeysConfig
from dkjax.dkds import Part, open_data_set
from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.sources import ArraySource, Skipped, open_source
from dkjax.sources.source import positions

N, SHAPE = 30, (8, 8, 3)
DISPOSABLE = KeysConfig()
REPRODUCIBLE = KeysConfig(mode="reproducible", seed=5)
SCHEME = schemes.disposable(block_size=4)


def source(n: int = N) -> ArraySource:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, *SHAPE), np.uint8)
    return ArraySource(images, np.arange(n) % 3, ("a", "b", "c"))


class WithUnreadable:
    """A source of which some records cannot be read."""

    def __init__(self, bad: set[int], n: int = N) -> None:
        self._source, self._bad = source(n), bad
        self.image_shape, self.class_names, self.labels = SHAPE, self._source.class_names, self._source.labels
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices):
        chosen = positions(indices, len(self))
        self.skipped += [Skipped(f"{i}.jpg", "truncated") for i in chosen if i in self._bad]
        return self._source[np.array([i for i in chosen if i not in self._bad], np.int64)]


def order(keys_config: KeysConfig = DISPOSABLE, **changes) -> Order:
    return Order(**{"scheme": SCHEME, "keys": keys_config, "shard_images": 12, **changes})


def values_of(images: np.ndarray) -> list[bytes]:
    """What a permutation of its values leaves of an image."""
    return [np.sort(image, axis=None).tobytes() for image in images]


def test_every_image_once_with_its_label(tmp_path):
    plain = source()[:]
    manifest = encrypt_data_set(source(), tmp_path / "a.dkds", order())
    assert (manifest.records, [entry.records for entry in manifest.shards]) == (N, [12, 12, 6])
    found = open_data_set(tmp_path / "a.dkds")[:]
    label_of = dict(zip(values_of(plain["image"]), plain["label"], strict=True))
    assert len(label_of) == N
    seen = dict(zip(values_of(found["image"]), found["label"], strict=True))
    assert seen == label_of
    assert not {image.tobytes() for image in found["image"]} & {image.tobytes() for image in plain["image"]}


def test_encrypts_as_encrypt_does_with_the_keys_of_the_shard(tmp_path):
    """Shard `k` is encrypted in round `k`, under the keys of this part of this client."""
    encrypt_data_set(source(), tmp_path / "a.dkds", order(REPRODUCIBLE, client="plant-a"))
    data_set = open_data_set(tmp_path / "a.dkds")
    plain = source()[:]
    index_of = {values: i for i, values in enumerate(values_of(plain["image"]))}
    ratchet = keys.reproducible(seed=5)
    for shard in data_set.shards:
        with ratchet.next_round() as round_keys:
            image_keys = round_keys.for_client("plant-a 0/1", len(shard.label))
            items = np.array([index_of[values] for values in values_of(shard.image)])
            expected = encrypt_records({name: array[items] for name, array in plain.items()}, SCHEME, image_keys)
        np.testing.assert_array_equal(shard.image, expected["image"])
        np.testing.assert_array_equal(shard.label, expected["label"])


def test_every_image_has_its_own_key(tmp_path):
    """One image many times, in several shards and views: no two encryptions are alike."""
    same = ArraySource(np.repeat(source()[:1]["image"], 20, axis=0), np.zeros(20, np.int32), ("a",))
    for keys_config in (DISPOSABLE, REPRODUCIBLE):
        path = tmp_path / f"{keys_config.mode}.dkds"
        encrypt_data_set(same, path, order(keys_config, views=2))
        assert len({image.tobytes() for image in open_data_set(path)[:]["image"]}) == 40


def test_disposable_keys_never_repeat(tmp_path):
    for name in ("a", "b"):
        encrypt_data_set(source(), tmp_path / f"{name}.dkds", order())
    a, b = ({image.tobytes() for image in open_data_set(tmp_path / f"{name}.dkds")[:]["image"]} for name in ("a", "b"))
    assert not a & b


def stop_after(chunks: int):
    seen = []

    def report(progress: handover.Progress) -> None:
        if progress.chunk is not None:
            seen.append(progress)
        if len(seen) == chunks:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("chunks", [1, 2, 3])
@pytest.mark.parametrize("keys_config", [DISPOSABLE, REPRODUCIBLE], ids=lambda config: config.mode)
def test_resumed_equals_whole(tmp_path, chunks, keys_config):
    whole, resumed = tmp_path / "whole.dkds", tmp_path / "resumed.dkds"
    encrypt_data_set(source(), whole, order(keys_config))
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(source(), resumed, order(keys_config), stop_after(chunks))
    kept = {file.name: file.stat().st_mtime_ns for file in resumed.glob("shard-*.safetensors")}
    assert len(kept) == chunks - 1
    told = []
    encrypt_data_set(source(), resumed, order(keys_config), told.append)
    assert (told[0].kept, told[-1].done) == (12 * (chunks - 1), N)
    assert {name: (resumed / name).stat().st_mtime_ns for name in kept} == kept
    assert sorted(values_of(open_data_set(resumed)[:]["image"])) == sorted(values_of(source()[:]["image"]))
    for file in whole.glob("shard-*"):
        same = file.read_bytes() == (resumed / file.name).read_bytes()
        assert same is (keys_config is REPRODUCIBLE)


def test_keys_are_erased_when_their_shard_is_written_and_when_stopped(tmp_path, monkeypatch):
    given = []
    for_client = keys.RoundKeys.for_client

    def remember(*args):
        assert all(image_keys.is_deleted() for image_keys in given)
        given.append(for_client(*args))
        return given[-1]

    monkeypatch.setattr(keys.RoundKeys, "for_client", remember)
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(source(), tmp_path / "a.dkds", order(), stop_after(2))
    assert len(given) == 2
    assert all(image_keys.is_deleted() for image_keys in given)


def test_parts_cover_everything_once(tmp_path):
    found = []
    for index in range(4):
        path = tmp_path / f"{index}.dkds"
        manifest = encrypt_data_set(source(), path, order(part=Part(index=index, of=4)))
        assert (manifest.part.index, manifest.part.of) == (index, 4)
        found += values_of(open_data_set(path)[:]["image"])
    assert sorted(found) == sorted(values_of(source()[:]["image"]))


def test_parts_of_reproducible_keys_differ(tmp_path):
    same = ArraySource(np.repeat(source()[:1]["image"], 8, axis=0), np.zeros(8, np.int32), ("a",))
    images = set()
    for index in range(2):
        path = tmp_path / f"{index}.dkds"
        encrypt_data_set(same, path, order(REPRODUCIBLE, part=Part(index=index, of=2)))
        images |= {image.tobytes() for image in open_data_set(path)[:]["image"]}
    assert len(images) == 8


def test_views_are_of_every_image(tmp_path):
    manifest = encrypt_data_set(source(), tmp_path / "a.dkds", order(views=3))
    assert (manifest.views, manifest.records) == (3, 3 * N)
    found = values_of(open_data_set(tmp_path / "a.dkds")[:]["image"])
    assert sorted(found) == sorted(3 * values_of(source()[:]["image"]))


def test_augmented_before_encryption(tmp_path):
    changes = AugmentConfig(crop=2)
    encrypt_data_set(source(), tmp_path / "a.dkds", order(REPRODUCIBLE, augment=changes, views=2))
    encrypt_data_set(source(), tmp_path / "b.dkds", order(REPRODUCIBLE, augment=changes, views=2))
    found = values_of(open_data_set(tmp_path / "a.dkds")[:]["image"])
    assert len(set(found)) > N  # the views of an image differ by more than their keys
    assert found == values_of(open_data_set(tmp_path / "b.dkds")[:]["image"])


def test_rand_augmented_before_encryption_and_resumed(tmp_path):
    changes = AugmentConfig(rand_augment=(2, 9))
    encrypt_data_set(source(), tmp_path / "a.dkds", order(REPRODUCIBLE, augment=changes))
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(source(), tmp_path / "b.dkds", order(REPRODUCIBLE, augment=changes), stop_after(2))
    encrypt_data_set(source(), tmp_path / "b.dkds", order(REPRODUCIBLE, augment=changes))
    found = values_of(open_data_set(tmp_path / "a.dkds")[:]["image"])
    assert len(set(found) - set(values_of(source()[:]["image"]))) > N // 2
    assert found == values_of(open_data_set(tmp_path / "b.dkds")[:]["image"])


def test_rand_augment_of_other_channels_is_refused_before_anything_is_written(tmp_path):
    four = ArraySource(np.zeros((8, 8, 8, 4), np.uint8), np.zeros(8, np.int32), ("a",))
    with pytest.raises(ArgumentError, match=r"1 \(grey\) or 3 \(RGB\) channels, got 4; leave augment"):
        encrypt_data_set(four, tmp_path / "a.dkds", order(augment=AugmentConfig(rand_augment=(1, 1))))
    assert not (tmp_path / "a.dkds").exists()


def test_unreadable_records_are_left_out(tmp_path):
    bad = WithUnreadable({3, 4, 29})
    progress = []
    manifest = encrypt_data_set(bad, tmp_path / "a.dkds", order(), progress.append)
    assert manifest.records == N - 3
    assert (progress[-1].done, progress[-1].total) == (N, N)
    assert sorted(skipped.name for skipped in bad.skipped) == ["29.jpg", "3.jpg", "4.jpg"]
    good = np.setdiff1d(np.arange(N), [3, 4, 29])
    assert sorted(values_of(open_data_set(tmp_path / "a.dkds")[:]["image"])) == sorted(
        values_of(source()[good]["image"])
    )


def test_nothing_readable(tmp_path):
    with pytest.raises(DataError, match="none of the images could be read"):
        encrypt_data_set(WithUnreadable(set(range(N))), tmp_path / "a.dkds", order())


def test_a_source_that_changed_is_told(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(source(), tmp_path / "a.dkds", order(), stop_after(1))
    with pytest.raises(ConfigError, match="differs in labels, num_items"):
        encrypt_data_set(source(N + 1), tmp_path / "a.dkds", order())


@pytest.fixture
def photos(tmp_path) -> Path:
    for number in range(30):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return tmp_path / "photos"


def first_values(path: Path) -> list[int]:
    """What an image was before encryption that left all its values in place: its largest value."""
    return sorted(open_data_set(path)[:]["image"].max(axis=(1, 2, 3)).tolist())


def test_images_that_changed_are_read_again(tmp_path, photos):
    open_photos = partial(open_source, str(photos), None, image_size=(8, 8))
    (photos / "a/04.png").write_bytes(b"no image")
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(open_photos(), tmp_path / "a.dkds", order(), stop_after(2))
    Image.new("RGB", (8, 8), (4, 0, 0)).save(photos / "a/04.png")  # repaired
    Image.new("RGB", (8, 8), (200, 0, 0)).save(photos / "b/07.png")  # replaced
    progress = []
    manifest = encrypt_data_set(open_photos(), tmp_path / "a.dkds", order(), progress.append)
    assert manifest.records == 30
    assert first_values(tmp_path / "a.dkds") == sorted({*range(30), 200} - {7})
    assert progress[0].kept + progress[0].changed in (12, 24)


def test_images_that_did_not_change_are_not_read_again(tmp_path, photos):
    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(open_source(str(photos), None, image_size=(8, 8)), tmp_path / "a.dkds", order(), stop_after(2))
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.dkds").glob("shard-*.safetensors")}
    assert finished
    progress = []
    encrypt_data_set(open_source(str(photos), None, image_size=(8, 8)), tmp_path / "a.dkds", order(), progress.append)
    assert (progress[0].kept, progress[0].changed) == (12 * len(finished), 0)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_all_files_are_repaired_after_nothing_could_be_read(tmp_path, photos):
    whole = {path: path.read_bytes() for path in photos.rglob("*.png")}
    for path in whole:
        path.write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(DataError, match="none of the images could be read"):
            encrypt_data_set(open_source(str(photos), None, image_size=(8, 8)), tmp_path / "a.dkds", order())
    for path, content in whole.items():
        path.write_bytes(content)
    manifest = encrypt_data_set(open_source(str(photos), None, image_size=(8, 8)), tmp_path / "a.dkds", order())
    assert manifest.records == 30


def test_no_file_name_and_no_time_of_day_in_the_data_set(tmp_path):
    request = {"data": {"source": "/home/somebody/patients"}}
    encrypt_data_set(source(), tmp_path / "a.dkds", order(request=request))
    for file in (tmp_path / "a.dkds").iterdir():
        assert b"patients" not in file.read_bytes()
        assert b"somebody" not in file.read_bytes()
    text = (tmp_path / "a.dkds" / "manifest.json").read_text()
    assert "T" not in text and ":" not in text.replace('": ', "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": 0}, "views must be at least 1"),
        ({"scheme": schemes.disposable(block_size=3)}, "block_size=3"),
        ({"scheme": schemes.disposable(block_size=4, fixed_blocks=5)}, "fixed_blocks"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path, changes, said):
    with pytest.raises(ArgumentError, match=said):
        encrypt_data_set(source(), tmp_path / "a.dkds", order(**changes))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "names", [("a", "a", "b"), ("a", "b", "c\ud800"), ("a", "b", "\x1b[2J"), ("a", "b", "x" * 300)]
)
def test_class_names_that_cannot_be_written_are_said_before_the_work(tmp_path, names):
    plain = source()
    plain.class_names = names
    with pytest.raises(DataError, match="cannot become an encrypted data set: class_names") as refused:
        encrypt_data_set(plain, tmp_path / "a.dkds", order())
    assert str(refused.value).isprintable()
    assert not os.listdir(tmp_path)


def test_a_part_without_images(tmp_path):
    with pytest.raises(DataError, match="has no image"):
        encrypt_data_set(source(2), tmp_path / "a.dkds", order(part=Part(index=3, of=4)))


def test_estimate(tmp_path):
    expected = estimate(source(), order(views=2))
    manifest = encrypt_data_set(source(), tmp_path / "a.dkds", order(views=2))
    assert (expected["records"], expected["shards"]) == (manifest.records, len(manifest.shards))
    size = sum(file.stat().st_size for file in Path(tmp_path / "a.dkds").iterdir())
    assert 0 < size - expected["bytes"] < 5000  # headers and the manifest
    assert expected["seconds"] >= 0
