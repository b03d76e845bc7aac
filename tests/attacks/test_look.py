"""Looking at it: measures whose values are known."""

import numpy as np
import pytest

from dkjax.attacks.look import adjacent_correlation, entropy, look, mutual_information, psnr


def test_known_values() -> None:
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (1, 16, 256, 1))
    noise = rng.integers(0, 256, (1, 64, 256, 1), dtype=np.uint8)
    assert entropy(ramp) == pytest.approx(8) and entropy(np.zeros_like(ramp)) == pytest.approx(0)
    assert adjacent_correlation(ramp)[0] > 0.999 and abs(adjacent_correlation(noise)[0]) < 0.05
    assert mutual_information(ramp, ramp) == pytest.approx(4)
    assert mutual_information(noise, rng.permuted(noise, axis=2))[0] < 0.05
    assert psnr(ramp, ramp) == pytest.approx(99)
    assert psnr(np.zeros_like(ramp), np.full_like(ramp, 16)) == pytest.approx(20 * np.log10(255 / 16))


def test_plain_images_reach_the_ceiling_and_permuted_ones_chance() -> None:
    down, right = np.mgrid[:32, :32]
    plain = np.stack([(4 * down + 3 * right).astype(np.uint8)[..., None]] * 3)
    scores = {score.metric: score for score in look(plain, plain)}
    assert list(scores) == ["ssim", "psnr", "mutual_information", "entropy", "adjacent_correlation"]
    for metric, score in scores.items():
        assert score.reached.mean == pytest.approx(score.ceiling)
        assert metric == "entropy" or (score.chance is not None and score.chance < score.reached.mean / 2)


def test_images_too_small_for_ssim_have_the_other_measures() -> None:
    assert "ssim" not in [score.metric for score in look(*np.zeros((2, 2, 6, 6, 1), np.uint8))]
