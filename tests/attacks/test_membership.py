"""Membership inference: members of an overfitted model are told from others, and others not from others."""

import numpy as np
import optax
import pytest

from dkjax import schemes
from dkjax.attacks.membership import audit, distinguish, likelihood_ratios, server_training
from dkjax.errors import ArgumentError
from dkjax.models import vit
from dkjax.sources import digits, read_all


def memorising(seed: int, strength: float):
    """A model made up: log-odds depend on the image, and for members on having been seen."""
    hard = np.random.default_rng(seed).normal(0, 3, 200)

    def train(members: np.ndarray, run: int) -> np.ndarray:
        odds = hard + np.random.default_rng(run).normal(0, 0.5, 200)
        odds[members] += strength
        return odds

    return train


def test_likelihood_ratios_tell_what_losses_do_not() -> None:
    found = audit(memorising(0, 1.5), 200)
    assert 0.5 < found.loss.auc.mean < 0.75 and found.loss.auc.low < found.loss.auc.mean < found.loss.auc.high
    assert found.ratio.auc.low > found.loss.auc.high
    assert found.ratio.true_positives.low > found.loss.true_positives.high
    assert found.ratio.auc.images == 200


def test_others_are_at_chance() -> None:
    found = audit(memorising(1, 0.0), 200)
    for one in (found.loss, found.ratio):
        assert one.auc.low < 0.5 < one.auc.high
        assert one.true_positives.mean < 0.2


def test_area_and_true_positives() -> None:
    members = np.repeat([True, False], 100)
    scores = np.concatenate([np.arange(100) + 50.5, np.arange(100)])
    found = distinguish(scores, members, at=0.05)
    # By hand: member i beats 50.5 + i others of 100, at most all.
    assert found.auc.mean == pytest.approx(np.minimum(np.arange(100) + 51, 100).mean() / 100)
    # 95 is the first score that at most 5 % of the others exceed.
    assert found.true_positives.mean == pytest.approx((scores[:100] > 95).mean())
    assert distinguish(np.zeros(200), members).auc.mean == 0.5
    assert distinguish(-scores, members).auc.mean == pytest.approx(1 - found.auc.mean)


def test_ratio_of_two_normal_distributions() -> None:
    shadows = np.array([[1.0, 3.0], [3.0, 1.0], [-1.0, -3.0], [-3.0, -1.0]])
    inside = np.array([[True, True], [True, True], [False, False], [False, False]])
    # Means 2 and -2, both variances 2: the logarithm of the ratio is 2 t, here at t = 1 and t = 0.
    assert likelihood_ratios(np.array([1.0, 0.0]), shadows, inside) == pytest.approx([2, 0], abs=1e-5)


@pytest.mark.parametrize(("count", "shadows"), [(200, 3), (200, 0), (4, 2)])
def test_usage(count: int, shadows: int) -> None:
    with pytest.raises(ArgumentError, match="expected an even number of shadows and at least 8 images"):
        audit(memorising(0, 1.0), count, shadows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "encrypted"])
def test_an_overfitted_model_gives_members_away(name: str) -> None:
    records = read_all(digits.open_digits())
    images, labels = records["image"][:160], records["label"][:160]
    scheme = schemes.disposable(block_size=4, fixed_pixels=16) if name == "encrypted" else None
    model = vit("mu", patch_size=4, num_classes=10, width=64, heads=2, mlp_dim=128)
    settings = {"epochs": 40, "batch_size": 20, "optimizer": optax.adam(3e-3), "evaluations": 1}
    found = audit(server_training(model, images, labels, scheme, **settings), len(images), shadows=2)
    print(name, found)
    assert found.loss.auc.low > 0.5
