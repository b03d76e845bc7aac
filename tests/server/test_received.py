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
from dkjax.server.received import receive, weights_of
from dkjax.train.loop import Trainer, make_trainer, train

PRNG_KEY = jax.random.key(2)


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


def test_training_leaves_the_parameters_it_starts_from(trainer: Trainer) -> None:
    params = trainer.model.init()
    received = receive(learnable(1), trainer)
    order = received.order(trainer.config, 1)
    state = train(trainer, trainer.start(params), received.records, order, range(2), PRNG_KEY)
    assert int(state.step) == 2
    assert not params["kernel"].is_deleted()
    assert not params["kernel"].any()


@pytest.mark.parametrize(
    ("keep", "labels"),
    [("all", [11, 12, 21, 22, 31, 32]), ("newest", [31, 32])],
)
def test_receive(keep: str, labels: list[int], trainer: Trainer) -> None:
    received = first = receive(uploads(1), trainer)
    for number in (2, 3):
        received = receive(uploads(number), trainer, received, keep)
    np.testing.assert_array_equal(received.records.labels, np.repeat(labels, 4))
    last = np.concatenate([sent.pool[:]["image"] for sent in uploads(3)])
    np.testing.assert_array_equal(received.records[len(received.records) - 8 :]["image"], last)
    assert len(first.records) == 8


def test_nothing_is_copied(trainer: Trainer) -> None:
    sent = [*uploads(1), *uploads(2)]
    received = receive(sent[2:], trainer, receive(sent[:2], trainer))
    for piece, upload in zip(received.records.pieces, sent, strict=True):
        assert piece is upload.pool.pieces[0]


def test_train_goes_on_and_reports(trainer: Trainer) -> None:
    received = receive(learnable(1), trainer)
    order = received.order(trainer.config, 1)
    reports = []
    first = train(
        trainer, trainer.start(trainer.model.init()), received.records, order, range(3), PRNG_KEY, reports.append
    )
    second = train(trainer, first, received.records, order, range(3, 4), PRNG_KEY, reports.append)
    assert int(second.step) == 4
    assert [report.step for report in reports] == [2, 3, 4]


def test_nothing_received(trainer: Trainer) -> None:
    with pytest.raises(DataError, match="no client has uploaded anything"):
        receive([], trainer)


# Weights


def test_without_weights_every_record_counts_alike(trainer: Trainer) -> None:
    received = receive(uploads(1), trainer)
    assert received.order(trainer.config, 1)(3).tolist() == batch_indices(8, 8, 1, 3).tolist()


@pytest.mark.parametrize(
    ("wanted", "weights"),
    [("equal", {"client-1": 1, "client-2": 1}), ({"client-1": 3.0, "client-2": 1.0}, {"client-1": 3, "client-2": 1})],
)
def test_weights_count_over_all_uploads_of_a_client(wanted: Any, weights: dict, trainer: Trainer) -> None:
    config = TrainConfig(batch_size=8, client_weights=wanted)
    received = receive(uploads(2), trainer, receive(uploads(1), trainer))
    pieces = [("client-1", 4), ("client-2", 4)] * 2
    assert received.order(config, 1)(3).tolist() == weighted_order(pieces, weights, 8, 1)(3).tolist()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"client-1": 1.0, "client-3": 1.0}, r"there is no client 'client-3'; did you mean 'client-"),
        ({"client-1": 1.0}, "client-2 has no weight; give every client one"),
    ],
)
def test_weights_that_do_not_fit(wanted: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weights_of(wanted, ["client-1", "client-2"])
