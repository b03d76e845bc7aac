"""Clients that augment: which changes, to which images, in which round."""

import jax
import numpy as np
import pytest

from dkjax.cipher import Scheme
from dkjax.client.augment import augment
from dkjax.client.upload import Client, Upload, upload
from dkjax.config import AugmentConfig
from dkjax.experiment import augmenting as module
from dkjax.experiment.augmenting import augmented, augmenting
from dkjax.seeds import generator

EVERYTHING = AugmentConfig(flip=True, crop=2, rand_augment=(2, 9))


def made_up(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return {"image": images, "label": rng.integers(0, 3, count, dtype=np.int32)}


CLIENT = Client("a", made_up(40))


def image_of(*args: object, **settings: object) -> np.ndarray:
    return augmented(*args, **settings).records["image"]


def test_nothing_asked_nothing_done() -> None:
    assert augmented(CLIENT, 1, AugmentConfig(), 0) is CLIENT
    np.testing.assert_array_equal(image_of(CLIENT, 1, AugmentConfig(), 0, limit=7), CLIENT.records["image"][:7])


def test_images_change_and_labels_stay() -> None:
    before = CLIENT.records["image"].copy()
    changed = augmented(CLIENT, 1, EVERYTHING, 0)
    assert changed.name == "a"
    np.testing.assert_array_equal(changed.records["label"], CLIENT.records["label"])
    assert changed.records["image"].shape == before.shape
    differing = [not np.array_equal(a, b) for a, b in zip(changed.records["image"], before, strict=True)]
    assert sum(differing) > 30
    np.testing.assert_array_equal(CLIENT.records["image"], before)


@pytest.mark.parametrize(
    "config", [AugmentConfig(flip=True), AugmentConfig(crop=1), AugmentConfig(rand_augment=(1, 5))]
)
def test_it_does_what_is_asked(config: AugmentConfig) -> None:
    random = generator("dkjax.collaborative.augmenting a round 3", 5)
    expected = augment(CLIENT.records, random, **config.model_dump())
    np.testing.assert_array_equal(image_of(CLIENT, 3, config, 5), expected["image"])


def test_changes_depend_on_client_round_and_seed() -> None:
    first = image_of(CLIENT, 1, EVERYTHING, 0)
    np.testing.assert_array_equal(image_of(CLIENT, 1, EVERYTHING, 0), first)
    others = [
        image_of(CLIENT, 2, EVERYTHING, 0),
        image_of(CLIENT, 1, EVERYTHING, 1),
        image_of(Client("b", CLIENT.records), 1, EVERYTHING, 0),
    ]
    assert len({images.tobytes() for images in (first, *others)}) == 4


@pytest.mark.parametrize("limit", [0, 1, 15, 16, 17, 39, 40, 99])
def test_the_first_images(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "records_at_a_time", lambda image_shape: 16)
    whole = augmented(CLIENT, 1, EVERYTHING, 0)
    first = augmented(CLIENT, 1, EVERYTHING, 0, limit=limit)
    assert len(whole.records["label"]) == 40
    np.testing.assert_array_equal(first.records["image"], whole.records["image"][:limit])
    np.testing.assert_array_equal(first.records["label"], whole.records["label"][:limit])


def test_a_client_without_images() -> None:
    assert image_of(Client("a", made_up(0)), 1, EVERYTHING, 0).shape == (0, 8, 8, 1)


def test_what_is_uploaded_is_augmented() -> None:
    given: list[tuple[Client, int, Scheme | None, jax.Array | None]] = []

    def uploader(client: Client, round_number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
        given.append((client, round_number, scheme, image_keys))
        return upload(client, round_number, None, None)

    scheme, image_keys = object(), object()
    sent = augmenting(uploader, EVERYTHING, 5)(CLIENT, 2, scheme, image_keys)
    ((client, round_number, *rest),) = given
    assert (client.name, round_number) == ("a", 2)
    assert rest[0] is scheme and rest[1] is image_keys
    np.testing.assert_array_equal(sent.pool[:]["image"], image_of(CLIENT, 2, EVERYTHING, 5))
