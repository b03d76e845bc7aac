"""The loop, with a linear model in place of the ViT: it learns, reports, stops at a bad loss, and can be split."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.config import TrainConfig
from dkjax.errors import ConfigError, DataError, NonFiniteLossError
from dkjax.input.order import StepOrder, uniform_order
from dkjax.input.record_pool import RecordPool
from dkjax.train.loop import Trainer, count_correct, evaluate, make_trainer, train
from dkjax.train.mesh import train_mesh
from dkjax.train.metrics import Progress
from dkjax.train.step import make_eval_step, make_train_step

PRNG_KEY = jax.random.key(3)


@dataclasses.dataclass(frozen=True)
class Linear:
    """What the loop asks of a model, and quickly compiled. It drops out pixels, so that dropout keys matter."""

    num_classes: int = 3

    def init(self) -> dict[str, Any]:
        return {"head": {"kernel": jnp.zeros((16, self.num_classes)), "bias": jnp.zeros(self.num_classes)}}

    def apply(self, params: dict, images: jax.Array, *, dropout_key: jax.Array | None = None) -> jax.Array:
        flat = images.reshape(len(images), -1)
        if dropout_key is not None:
            flat = flat * jax.random.bernoulli(dropout_key, 0.9, flat.shape)
        return flat @ params["head"]["kernel"] + params["head"]["bias"].reshape(1, -1)


MODEL = Linear()
CONFIG = TrainConfig(epochs=10, batch_size=8, learning_rate=5e-2, log_every=7)


def toy_records(count: int = 32, seed: int = 0) -> RecordPool:
    """Three classes that a linear model tells apart: which row of the image is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count, dtype=np.int32)
    images = rng.integers(0, 100, (count, 4, 4, 1), dtype=np.uint8)
    images[np.arange(count), labels] += 120
    return RecordPool([{"image": images, "label": labels}])


RECORDS = toy_records()


def order(seed: int) -> StepOrder:
    return uniform_order(len(RECORDS), CONFIG.batch_size, seed)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return make_trainer(CONFIG, MODEL, len(RECORDS))


def run(trainer: Trainer, *parts: range, params: Any = None, seed: int = 1) -> tuple[Any, list[Progress]]:
    state, reports = trainer.start(MODEL.init() if params is None else params), []
    for part in parts:
        state = train(trainer, state, RECORDS, order(seed), part, PRNG_KEY, reports.append)
    return state, reports


def assert_same_bits(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_total_steps() -> None:
    assert make_trainer(CONFIG, MODEL, 32).total_steps == 40
    assert make_trainer(CONFIG, MODEL, 35).total_steps == 43
    assert make_trainer(TrainConfig(epochs=1, batch_size=8), MODEL, 3).total_steps == 1
    with pytest.raises(ConfigError, match="batch_size=6 cannot be divided among 4 devices"):
        make_trainer(TrainConfig(batch_size=6), MODEL, 32)


def test_learns_and_reports(trainer: Trainer) -> None:
    state, reports = run(trainer, range(40))
    assert [report.step for report in reports] == [7, 14, 21, 28, 35, 40]
    assert {report.total_steps for report in reports} == {40}
    losses = [report.loss for report in reports]
    assert losses[0] > 0.5 > 0.2 > losses[-1]
    assert reports[-1].accuracy > 0.95
    assert all(report.images_per_second > 0 for report in reports)
    for report in reports:
        assert report.learning_rate == float(trainer.learning_rate(report.step - 1))
    assert int(state.step) == 40
    accuracy = evaluate(trainer, state.params, {"own": RECORDS, "new": toy_records(21, seed=9)})
    assert list(accuracy) == ["own", "new"]
    assert min(accuracy.values()) > 0.95
    assert trainer.train_step._cache_size() == trainer.eval_step._cache_size() == 1


def test_untrained_is_chance(trainer: Trainer) -> None:
    # Zero parameters name class 0 always.
    share = (toy_records(21, seed=9).labels == 0).mean()
    assert evaluate(trainer, MODEL.init(), {"new": toy_records(21, seed=9)}) == {"new": pytest.approx(share)}


def test_named_rightly_by_class(trainer: Trainer) -> None:
    records = toy_records(21, seed=9)
    counts = np.bincount(records.labels, minlength=3)
    assert count_correct(trainer, MODEL.init(), records).tolist() == [counts[0], 0, 0]
    state, _ = run(trainer, range(40))
    right = count_correct(trainer, state.params, records)
    assert (right <= counts).all()
    assert right.sum() / 21 == evaluate(trainer, state.params, {"new": records})["new"]


@pytest.mark.parametrize("cuts", [(1,), (7, 8), (20,), (13, 13, 39)])
def test_split_training_is_the_same_bit_for_bit(cuts: tuple[int, ...], trainer: Trainer) -> None:
    whole, _ = run(trainer, range(40))
    parts = [range(*edges) for edges in itertools.pairwise((0, *cuts, 40))]
    split, reports = run(trainer, *parts)
    assert_same_bits(whole, split)
    assert [report.step for report in reports if report.step in cuts] == sorted(set(cuts))


def test_seed_and_dropout_key_matter(trainer: Trainer) -> None:
    whole, _ = run(trainer, range(10))
    again, _ = run(trainer, range(10))
    assert_same_bits(whole, again)
    other_order, _ = run(trainer, range(10), seed=2)
    other_key = train(trainer, trainer.start(MODEL.init()), RECORDS, order(1), range(10), jax.random.key(4))
    for other in (other_order, other_key):
        assert not np.array_equal(whole.params["head"]["kernel"], other.params["head"]["kernel"])


def test_one_device_sees_the_same_batches_as_four(trainer: Trainer) -> None:
    mesh = train_mesh(8, jax.devices()[:1])
    alone = dataclasses.replace(
        trainer,
        mesh=mesh,
        train_step=make_train_step(MODEL, trainer.tx, CONFIG, mesh),
        eval_step=make_eval_step(MODEL, mesh),
    )
    (one, one_reports), (four, four_reports) = run(alone, range(14)), run(trainer, range(14))
    # Equal but for the order in which float32 sums are taken; another order of records would differ in the first digit.
    for of_one, of_four in zip(one_reports, four_reports, strict=True):
        assert of_one.loss == pytest.approx(of_four.loss, rel=1e-5)
        assert of_one.accuracy == pytest.approx(of_four.accuracy)
    np.testing.assert_allclose(one.params["head"]["kernel"], four.params["head"]["kernel"], atol=1e-4)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("at", [0, 6, 7, 11, 18])
def test_stops_at_the_exact_step(at: int, bad: float, trainer: Trainer) -> None:
    """A step whose loss goes bad at one point and is fine before and after, so that the first is what is named."""
    steps = iter(range(40))

    def step(state: Any, batch: Any, prng_key: Any) -> tuple[Any, dict[str, np.ndarray]]:
        loss = bad if next(steps) == at else 1.0
        return state, {"loss": np.float32(loss), "accuracy": np.float32(0)}

    with pytest.raises(NonFiniteLossError, match=rf"training step {at} \(counted from 0\).*learning_rate") as caught:
        run(dataclasses.replace(trainer, train_step=step), range(5), range(5, 19))
    assert "\n" not in str(caught.value)


def test_stops_when_training_diverges(trainer: Trainer) -> None:
    diverging = make_trainer(CONFIG.model_copy(update={"learning_rate": 1e38, "warmup_fraction": 0.0}), MODEL, 32)
    state, losses = diverging.start(MODEL.init()), []
    for step in range(10):
        state = train(diverging, state, RECORDS, order(1), range(0), PRNG_KEY)
        try:
            state = train(diverging, state, RECORDS, order(1), range(step, step + 1), PRNG_KEY, losses.append)
        except NonFiniteLossError:
            break
    assert 0 < len(losses) < 10
    with pytest.raises(NonFiniteLossError, match=rf"training step {len(losses)} "):
        run(diverging, range(40))
    params = MODEL.init()
    params["head"]["bias"] = params["head"]["bias"] + jnp.inf
    with pytest.raises(NonFiniteLossError, match="training step 0 "):
        run(trainer, range(40), params=params)


def test_no_steps_and_no_records(trainer: Trainer) -> None:
    state, reports = run(trainer, range(0))
    assert (int(state.step), reports) == (0, [])
    with pytest.raises(DataError, match="nothing to train on"):
        train(trainer, state, toy_records(0), order(0), range(2), PRNG_KEY)
