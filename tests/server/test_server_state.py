"""The server: it keeps what arrives, and trains on all of it or on the newest."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.client.upload import Upload
from dkjax.config import TrainConfig
from dkjax.errors import ConfigError, DataError
from dkjax.input.order import batch_indices, weighted_order
from dkjax.input.record_pool import RecordPool
from dkjax.server import state as server
from dkjax.train.loop import Trainer, make_trainer


@dataclasses.dataclass(frozen=True)
class Linear:
    """A model that is quickly compiled."""

    num_classes = 3

    def init(self) -> dict[str, Any]:
        return {"kernel": jnp.zeros((64, 3))}

    def apply(self, params: dict, images: jax.Array, *, dropout_key: jax.Array | None = None) -> jax.Array:
        return images.reshape(len(images), -1) @ params["kernel"]


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return make_trainer(TrainConfig(batch_size=8, epochs=2, log_every=2), Linear(), 16)


def begin(trainer: Trainer, params: dict) -> server.ServerState:
    return server.start(trainer, trainer.start(params), order_seed=1, prng_key=jax.random.key(2))


@pytest.fixture
def started(trainer: Trainer) -> server.ServerState:
    return begin(trainer, trainer.model.init())


def pool(image: np.ndarray, label: np.ndarray) -> RecordPool:
    return RecordPool([{"image": image, "label": label}])


def uploads(round_number: int) -> list[Upload]:
    """Labels that say where they come from: 10 * round + client."""
    rng = np.random.default_rng(round_number)
    return [
        Upload(
            f"client-{number}",
            round_number,
            pool(rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8), np.full(4, 10 * round_number + number, np.int32)),
        )
        for number in (1, 2)
    ]


def learnable(round_number: int) -> list[Upload]:
    """Uploads with labels of the model's classes."""
    return [
        dataclasses.replace(sent, pool=pool(sent.pool[:]["image"], sent.pool.labels % 3))
        for sent in uploads(round_number)
    ]


def test_start_leaves_the_parameters(trainer: Trainer) -> None:
    params = trainer.model.init()
    first = begin(trainer, params)
    assert first.records is None
    assert int(server.train(server.receive(first, learnable(1)), range(2)).state.step) == 2
    assert not params["kernel"].is_deleted()
    assert not params["kernel"].any()


@pytest.mark.parametrize(
    ("keep", "labels"),
    [("all", [11, 12, 21, 22, 31, 32]), ("newest", [31, 32])],
)
def test_receive(keep: str, labels: list[int], started: server.ServerState) -> None:
    stand = started
    for number in (1, 2, 3):
        stand = server.receive(stand, uploads(number), keep)
    np.testing.assert_array_equal(stand.records.labels, np.repeat(labels, 4))
    last = np.concatenate([sent.pool[:]["image"] for sent in uploads(3)])
    np.testing.assert_array_equal(stand.records[len(stand.records) - 8 :]["image"], last)
    assert started.records is None


def test_nothing_is_copied(started: server.ServerState) -> None:
    sent = [*uploads(1), *uploads(2)]
    stand = server.receive(server.receive(started, sent[:2]), sent[2:])
    for piece, upload in zip(stand.records.pieces, sent, strict=True):
        assert piece is upload.pool.pieces[0]


def test_train_goes_on_and_reports(started: server.ServerState) -> None:
    received = server.receive(started, learnable(1))
    reports = []
    first = server.train(received, range(3), reports.append)
    second = server.train(first, range(3, 4), reports.append)
    assert int(second.state.step) == 4
    assert [report.step for report in reports] == [2, 3, 4]
    assert (second.records, second.order_seed) == (received.records, 1)


def test_nothing_received(started: server.ServerState) -> None:
    with pytest.raises(DataError, match="no client has uploaded anything"):
        server.train(started, range(1))


# Weights


def test_without_weights_every_record_counts_alike(started: server.ServerState) -> None:
    received = server.receive(started, uploads(1))
    assert server.order_of(received)(3).tolist() == batch_indices(8, 8, 1, 3).tolist()


@pytest.mark.parametrize(
    ("wanted", "weights"),
    [("equal", {"client-1": 1, "client-2": 1}), ({"client-1": 3.0, "client-2": 1.0}, {"client-1": 3, "client-2": 1})],
)
def test_weights_count_over_all_uploads_of_a_client(wanted: Any, weights: dict, started: server.ServerState) -> None:
    trainer = dataclasses.replace(started.trainer, config=TrainConfig(batch_size=8, client_weights=wanted))
    received = server.receive(server.receive(dataclasses.replace(started, trainer=trainer), uploads(1)), uploads(2))
    pieces = [("client-1", 4), ("client-2", 4)] * 2
    assert server.order_of(received)(3).tolist() == weighted_order(pieces, weights, 8, 1)(3).tolist()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"client-1": 1.0, "client-3": 1.0}, r"there is no client 'client-3'; did you mean 'client-"),
        ({"client-1": 1.0}, "client-2 has no weight; give every client one"),
    ],
)
def test_weights_that_do_not_fit(wanted: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        server.weights_of(wanted, ["client-1", "client-2"])
