"""The server: it keeps what arrives, and trains on all of it or on the newest."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.collaborative import server
from dkjax.collaborative.client import Upload
from dkjax.config import TrainConfig
from dkjax.errors import DataError
from dkjax.train.loop import Trainer, make_trainer


@dataclasses.dataclass(frozen=True)
class Linear:
    """A model that is quickly compiled."""

    def init(self) -> dict[str, Any]:
        return {"kernel": jnp.zeros((64, 3))}

    def apply(self, params: dict, images: jax.Array, *, dropout_key: jax.Array | None = None) -> jax.Array:
        return images.reshape(len(images), -1) @ params["kernel"]


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return make_trainer(TrainConfig(batch_size=8, epochs=2, log_every=2), Linear(), 16)


def begin(trainer: Trainer, params: dict) -> server.Server:
    return server.start(trainer, params, order_seed=1, prng_key=jax.random.key(2))


@pytest.fixture
def started(trainer: Trainer) -> server.Server:
    return begin(trainer, trainer.model.init())


def uploads(round_number: int) -> list[Upload]:
    """Labels that say where they come from: 10 * round + client."""
    rng = np.random.default_rng(round_number)
    return [
        Upload(
            f"client-{number}",
            round_number,
            {
                "image": rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8),
                "label": np.full(4, 10 * round_number + number, np.int32),
            },
        )
        for number in (1, 2)
    ]


def learnable(round_number: int) -> list[Upload]:
    """Uploads with labels of the model's classes."""
    return [
        dataclasses.replace(sent, records={**sent.records, "label": sent.records["label"] % 3})
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
def test_receive(keep: str, labels: list[int], started: server.Server) -> None:
    stand = started
    for number in (1, 2, 3):
        stand = server.receive(stand, uploads(number), keep)
    np.testing.assert_array_equal(stand.records["label"], np.repeat(labels, 4))
    last = np.concatenate([sent.records["image"] for sent in uploads(3)])
    np.testing.assert_array_equal(stand.records["image"][-8:], last)
    assert (stand.records["image"].dtype, stand.records["label"].dtype) == (np.uint8, np.int32)
    assert started.records is None


def test_train_goes_on_and_reports(started: server.Server) -> None:
    received = server.receive(started, learnable(1))
    reports = []
    first = server.train(received, range(3), reports.append)
    second = server.train(first, range(3, 4), reports.append)
    assert int(second.state.step) == 4
    assert [report.step for report in reports] == [2, 3, 4]
    assert (second.records, second.order_seed) == (received.records, 1)


def test_nothing_received(started: server.Server) -> None:
    with pytest.raises(DataError, match="no client has uploaded anything"):
        server.train(started, range(1))
