"""The arms: who holds which key, for how long, and how the test images are encrypted."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from dkjax import keys, prng
from dkjax.cipher import Scheme, schemes
from dkjax.client.upload import Client, Upload, Uploader, encrypt_records, encrypted_now, upload
from dkjax.errors import ArgumentError, ConfigError
from dkjax.experiment.arms.kind import Arm, ArmKind, ArmTask, Round
from dkjax.experiment.arms.registry import arm_kind, arm_kinds, kind_in_name, register_arm_kind
from dkjax.sources.source import take

PRNG = "threefry2x32"
SCHEME = schemes.disposable(4)
VIEWS = {
    "plain": {"plain"},
    "disposable": {"plain", "fresh_key"},
    "client_key": {"plain", "fresh_key", "same_key"},
    "shared_key": {"plain", "fresh_key", "same_key"},
}

FEDERATED = {"fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only"}


@dataclasses.dataclass
class Given:
    """A key that was handed out: the array itself, and its words as they were."""

    client: str
    array: jax.Array
    words: np.ndarray

    def again(self) -> jax.Array:
        """The same key, though the array may be deleted."""
        return prng.wrap_key(jax.numpy.array(self.words), PRNG)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """Every key that rounds hand out during the test."""
    found: list[Given] = []
    for_client = keys.RoundKeys.for_client

    def spy(self: keys.RoundKeys, client: str, num_images: int | None = None) -> jax.Array:
        array = for_client(self, client, num_images)
        found.append(Given(client, array, np.array(jax.random.key_data(array))))
        return array

    monkeypatch.setattr(keys.RoundKeys, "for_client", spy)
    return found


def made_up(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return {"image": images, "label": rng.integers(0, 3, count, dtype=np.int32)}


CLIENTS = (Client("a", made_up(3, 1)), Client("b", made_up(5, 2)))
TEST = made_up(7, 3)


def begin(name: str, rounds: int = 1, uploader: Uploader = upload, scheme: Scheme = SCHEME) -> Iterator[Round]:
    kind = arm_kind(kind_in_name(name))
    arm = Arm(name, kind, scheme if kind.encrypted else None)
    ratchet = keys.reproducible(4, prng=PRNG)
    return kind.rounds(ArmTask(arm, CLIENTS, TEST, ratchet, rounds, uploader, encrypted_now, None, "all", None))


def assert_encrypted_with(key: jax.Array, seen: np.ndarray, plain: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(encrypt_records(plain, SCHEME, key)["image"], seen)


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("rounds", [1, 2])
def test_rounds_uploads_and_views(kind: str, rounds: int) -> None:
    arrived = list(begin(kind, rounds))
    assert len(arrived) == rounds
    assert {*arm_kinds()} == VIEWS.keys() | FEDERATED
    assert {*arm_kind(kind).test_views} == VIEWS[kind]
    for number, this_round in enumerate(arrived, start=1):
        assert [(sent.client, sent.round) for sent in this_round.uploads] == [("a", number), ("b", number)]
        assert this_round.test_views.keys() == (VIEWS[kind] if number == 1 else set())
        for sent, client in zip(this_round.uploads, CLIENTS, strict=True):
            np.testing.assert_array_equal(sent.pool[:]["label"], client.records["label"])
            assert np.array_equal(sent.pool[:]["image"], client.records["image"]) == (kind == "plain")
        for view, records in this_round.test_views.items():
            np.testing.assert_array_equal(records[:]["label"], TEST["label"])
            assert np.array_equal(records[:]["image"], TEST["image"]) == (view == "plain")
    params = object()
    assert all(this_round.adapt(params) is params for this_round in arrived)


@pytest.mark.parametrize("kind", VIEWS)
def test_every_arm_uploads_through_its_uploader(kind: str) -> None:
    uploaded: list[tuple[str, int, bool]] = []

    def uploader(client: Client, number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
        uploaded.append((client.name, number, scheme is None))
        return upload(client, number, scheme, image_keys)

    list(begin(kind, 2, uploader))
    assert uploaded == [(name, number, kind == "plain") for number in (1, 2) for name in ("a", "b")]


@pytest.mark.parametrize(
    ("kind", "equal"), [("plain", True), ("disposable", False), ("client_key", True), ("shared_key", True)]
)
def test_uploads_of_two_rounds(kind: str, equal: bool) -> None:
    first, second = begin(kind, 2)
    for one, other in zip(first.uploads, second.uploads, strict=True):
        for a, b in zip(one.pool[:]["image"], other.pool[:]["image"], strict=True):
            assert np.array_equal(a, b) == equal


def test_plain_asks_for_no_key(given: list[Given]) -> None:
    list(begin("plain", 2))
    assert not given


def test_disposable_keys_are_gone_when_a_round_arrives(given: list[Given]) -> None:
    arriving = begin("disposable", 2)
    first = next(arriving)
    assert [key.client for key in given] == ["test", "a", "b"]
    assert all(key.array.is_deleted() for key in given)
    second = next(arriving)
    assert len(given) == 5
    assert all(key.array.is_deleted() for key in given)
    every = np.concatenate([key.words for key in given])
    assert len(np.unique(every, axis=0)) == len(every) == 7 + 2 * 8
    assert_encrypted_with(given[0].again(), first.test_views["fresh_key"][:]["image"], TEST)
    for keys_of_round, this_round in ((given[1:3], first), (given[3:5], second)):
        for key, sent, client in zip(keys_of_round, this_round.uploads, CLIENTS, strict=True):
            assert_encrypted_with(key.again(), sent.pool[:]["image"], client.records)


@pytest.mark.parametrize("end", ["close", "exhaust"])
@pytest.mark.parametrize(("kind", "kept"), [("client_key", ["a", "b"]), ("shared_key", ["all clients together"])])
def test_kept_keys_are_gone_in_the_end(kind: str, kept: list[str], end: str, given: list[Given]) -> None:
    arriving = begin(kind, 2)
    next(arriving)
    fresh, *rest = given
    assert (fresh.client, [key.client for key in rest]) == ("test", kept)
    assert fresh.array.is_deleted()
    assert not any(key.array.is_deleted() for key in rest)
    if end == "exhaust":
        assert len(list(arriving)) == 1
    arriving.close()
    assert len(given) == 1 + len(kept)
    assert all(key.array.is_deleted() for key in given)


def test_same_key_is_the_shared_key(given: list[Given]) -> None:
    (this_round,) = begin("shared_key")
    fresh, shared = (key.again() for key in given)
    assert shared.shape == ()
    assert_encrypted_with(shared, this_round.test_views["same_key"][:]["image"], TEST)
    assert_encrypted_with(fresh, this_round.test_views["fresh_key"][:]["image"], TEST)
    for sent, client in zip(this_round.uploads, CLIENTS, strict=True):
        assert_encrypted_with(shared, sent.pool[:]["image"], client.records)


def test_same_key_takes_the_clients_in_turn(given: list[Given]) -> None:
    (this_round,) = begin("client_key")
    own_keys = [key.again() for key in given[1:]]
    for turn, (key, sent, client) in enumerate(zip(own_keys, this_round.uploads, CLIENTS, strict=True)):
        assert key.shape == ()
        assert_encrypted_with(key, sent.pool[:]["image"], client.records)
        assert_encrypted_with(
            key, this_round.test_views["same_key"][:]["image"][turn::2], take(TEST, slice(turn, None, 2))
        )


def test_arms_of_one_kind_see_the_same_keys_and_fixed_positions_count() -> None:
    everything = schemes.disposable(4, fixed_blocks=4, fixed_pixels=16)
    (this_round,) = begin("disposable-all-fixed", scheme=everything)
    for sent, client in zip(this_round.uploads, CLIENTS, strict=True):
        np.testing.assert_array_equal(sent.pool[:]["image"], client.records["image"])
    for one, other in zip(next(begin("disposable-x")).uploads, next(begin("disposable-y")).uploads, strict=True):
        np.testing.assert_array_equal(one.pool[:]["image"], other.pool[:]["image"])


# The registry


def test_a_kind_is_found_by_the_longest_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dkjax.experiment.arms.registry._registered", {})
    assert kind_in_name("disposable-half") == "disposable"
    assert kind_in_name("federated") is None
    assert [kind_in_name(f"{kind}-2") for kind in sorted(FEDERATED)] == sorted(FEDERATED)
    own = dataclasses.replace(arm_kind("plain"), name="disposable_twice")
    register_arm_kind(own)
    register_arm_kind(own)
    assert arm_kind(kind_in_name("disposable_twice-1")) is own
    assert arm_kind(kind_in_name("disposable-1")).key_sharing == "per_image"
    with pytest.raises(ArgumentError, match="there is a kind of arm named 'plain': choose another name"):
        register_arm_kind(dataclasses.replace(own, name="plain"))
    with pytest.raises(ConfigError, match="there is no kind of arm 'federated'; known are plain, disposable"):
        arm_kind("federated")


def test_what_is_no_kind_and_no_arm() -> None:
    rounds = arm_kind("plain").rounds
    for given in ({}, {"rounds": rounds, "train": print}):
        with pytest.raises(ArgumentError, match="needs either rounds or train"):
            ArmKind("own", key_sharing="none", **given)
    with pytest.raises(ArgumentError, match="'x' of kind disposable needs a scheme"):
        Arm("x", arm_kind("disposable"))
    with pytest.raises(ArgumentError, match="'x' of kind plain does not encrypt"):
        Arm("x", arm_kind("plain"), SCHEME)
