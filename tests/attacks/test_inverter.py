"""The learned inverter: it reads what stays in place, and nothing where every block has an order of its own."""

import numpy as np
import pytest
from encrypting import sent
from photographs import FILES, load

from dkjax import schemes
from dkjax.attacks.inverter import LearnedInverter, Training, train_inverter
from dkjax.attacks.judging import ssim_score
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.attacks.ssim import ssim
from dkjax.attacks.statistics import Score


def crops(files: tuple, count: int) -> np.ndarray:
    """Grey pieces of photographs, 32 x 32."""
    rng = np.random.default_rng(0)
    pictures = [load(path, 112) for path in files]
    corners = rng.integers(0, 112 - 32 + 1, (count, 2))
    cut = [pictures[number % len(pictures)][y : y + 32, x : x + 32] for number, (y, x) in enumerate(corners)]
    return np.rint(np.stack(cut).mean(axis=-1, keepdims=True)).astype(np.uint8)


def inverted(scheme, training: Training = Training(steps=250)) -> tuple[Score, float]:  # noqa: B008
    """What comes back of photographs that are none of those trained on, and SSIM as sent."""
    public, plain = crops(FILES[:5], 2000), crops(FILES[8:], 32)
    encrypted = sent(scheme, plain).images
    found = LearnedInverter(training).run(encrypted, Knowledge(8, public=public, scheme=scheme))
    score, as_sent = ssim_score(plain, found), float(ssim(plain, encrypted).mean())
    print(f"\n{scheme.name}: SSIM as sent {as_sent:.3f}, {score}")
    return score, as_sent


@pytest.mark.slow
def test_inverts_what_stays_in_place() -> None:
    score, as_sent = inverted(schemes.disposable(block_size=8, fixed_blocks=12, fixed_pixels=48))
    assert score.reached.mean > as_sent + 0.02
    assert score.chance is not None and score.reached.low > score.chance + 0.2


@pytest.mark.slow
def test_fails_on_an_own_order() -> None:
    score, _ = inverted(schemes.disposable(block_size=8, pixel_order="block"))
    assert score.chance is not None and score.reached.mean < score.chance + 0.05


def test_learns_without_a_key_and_keeps_shapes() -> None:
    scheme = schemes.disposable(block_size=4, fixed_blocks=4, fixed_pixels=48)
    rng = np.random.default_rng(0)
    public = np.broadcast_to(rng.integers(0, 256, (20, 1, 1, 3), np.uint8), (20, 8, 8, 3))
    training = Training(steps=60, batch=8, width=16, heads=2)
    read = train_inverter(scheme, public, training)
    flat = np.broadcast_to(np.array([200, 60, 120], np.uint8), (70, 8, 8, 3))
    found = Reconstruction(read(flat)).images
    assert found.shape == flat.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - flat).mean() < np.abs(public.mean(axis=0).astype(int) - flat[0]).mean()
    assert (read(flat) == found).all()
