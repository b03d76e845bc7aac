"""The learned inverter: learns where positions stay, and nothing where none does."""

from collections.abc import Iterator

import numpy as np
import pytest
from encrypting import encrypting

from dkjax import schemes
from dkjax.attacks.cases import Case
from dkjax.attacks.inverter import Inverter, _ssim
from dkjax.attacks.judging import NotApplicableError
from dkjax.attacks.median import Median
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import ssim
from dkjax.attacks.statistics import mean_image
from dkjax.attacks.trials import try_inverter
from dkjax.cipher import Scheme
from dkjax.errors import ArgumentError

SIDE = 8
WEAK = schemes.disposable(block_size=SIDE, fixed_blocks=18, fixed_pixels=96)
STRONG = schemes.sorted_blocks(block_size=SIDE)


def pictures(count: int, seed: int, size: int = 40) -> np.ndarray:
    """Smooth pictures with an edge in each."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:size, :size] / size
    made = []
    for _ in range(count):
        waves = [np.sin(rng.normal(0, 6) * down + rng.normal(0, 6) * right + rng.uniform(0, 6)) for _ in range(3)]
        edge = (rng.normal() * (down - 0.5) + rng.normal() * (right - 0.5) > 0)[..., None]
        made.append(128 + 60 * (np.stack(waves, axis=-1) @ rng.normal(0, 0.5, (3, 3))) + 60 * edge)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


PLAIN, PUBLIC = pictures(6, seed=1), pictures(12, seed=2)


def attacked(inverter: Inverter, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """What was sent, and what came back of it."""
    with encrypting(scheme) as send:
        sent = send(PLAIN).images
    return sent, inverter.run(sent, Knowledge(SIDE, public=PUBLIC, scheme=scheme)).images


def mean_of(images: np.ndarray) -> float:
    return float(ssim(PLAIN, images).mean())


@pytest.fixture(scope="module")
def weak() -> tuple[np.ndarray, np.ndarray]:
    return attacked(Inverter(), WEAK)


def test_learns_where_most_stays(weak: tuple[np.ndarray, np.ndarray]) -> None:
    sent, found = weak
    median = mean_of(Median().run(sent, Knowledge(SIDE)).images)
    assert mean_of(found) > median + 0.05 > mean_of(sent) + 0.15


def test_learning_helps(weak: tuple[np.ndarray, np.ndarray]) -> None:
    knowledge = Knowledge(SIDE, public=PUBLIC, scheme=WEAK)
    first = next(Inverter().learn(knowledge))
    assert mean_of(weak[1]) > mean_of(Inverter().restore(first, weak[0], knowledge).images) + 0.005


def test_learns_nothing_where_nothing_stays() -> None:
    _, found = attacked(Inverter("sorted"), STRONG)
    assert mean_of(found) < mean_of(mean_image(PLAIN)) + 0.05


def test_sorted_does_not_see_the_order() -> None:
    knowledge = Knowledge(SIDE, public=PUBLIC, scheme=STRONG)
    inverter = Inverter("sorted")
    params = next(inverter.learn(knowledge))
    own_order = schemes.disposable(block_size=SIDE, fixed_blocks=25, pixel_order="block")
    with encrypting(own_order) as send:
        found = inverter.restore(params, send(PLAIN).images, knowledge).images
    np.testing.assert_array_equal(found, inverter.restore(params, PLAIN, knowledge).images)


def test_one_seed_one_result(weak: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(attacked(Inverter(), WEAK)[1], weak[1])
    assert (attacked(Inverter(seed=1), WEAK)[1] != weak[1]).any()


def test_the_loss_has_the_measured_ssim() -> None:
    one, other = PLAIN[:1], PUBLIC[:1]
    np.testing.assert_allclose(_ssim(one / np.float32(255), other / np.float32(255)), ssim(one, other)[0], rtol=1e-3)


def test_images_must_have_blocks_beside_each_other() -> None:
    with pytest.raises(ArgumentError, match="at least 2 x 2 blocks"):
        Inverter().run(PLAIN[:, :8, :8], Knowledge(SIDE, public=PUBLIC[:, :8, :8], scheme=STRONG))


@pytest.fixture
def case() -> Iterator[Case]:
    with encrypting(WEAK) as send:
        yield Case("weak", WEAK, send(PLAIN), PLAIN, PLAIN, send)


def test_without_public_images_it_does_not_apply(case: Case) -> None:
    with pytest.raises(NotApplicableError, match="dkjax attack --public names some"):
        next(try_inverter(case))
