"""Images from updates of federated learning: solved for and matched where that is known to work, and where not."""

import jax
import numpy as np
import pytest

from dkjax.attacks.gradient_inversion import GradientInversion, PatchInversion, update_of_step
from dkjax.attacks.judging import ssim_score
from dkjax.attacks.protocol import Attack, Knowledge, Reconstruction
from dkjax.attacks.statistics import Score
from dkjax.models.vit import Model, Params, vit
from dkjax.sources import read_all
from dkjax.sources.open import open_source
from dkjax.sources.source import Subset

SIDE = 4
MODEL = vit("mu", patch_size=SIDE, num_classes=10, pool="mean")


def images_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    digits = read_all(Subset(open_source("digits", "train", image_size=(16, 16)), np.arange(count)))
    return digits["image"], digits["label"]


def with_a_head(model: Model, shape: tuple[int, ...]) -> Params:
    """Parameters as after a first round: with a head of zeros no gradient reaches the images."""
    params = model.init(jax.random.key(0), shape)  # type: ignore[arg-type]
    kernel = params["head"]["kernel"]
    return {**params, "head": {**params["head"], "kernel": 0.1 * jax.random.normal(jax.random.key(1), kernel.shape)}}


def reached(attack: Attack, batch: int, total: int, **sent: str) -> Score:
    """Invert the updates of batches one by one, and judge all that came of it."""
    images, labels = images_of(total)
    params = with_a_head(MODEL, images.shape[1:])
    found = []
    for start in range(0, total, batch):
        here = slice(start, start + batch)
        update = update_of_step(MODEL, params, images[here], labels[here], **sent)  # type: ignore[arg-type]
        shape = np.zeros_like(images[here])
        made = attack.run(shape, Knowledge(SIDE, update=update))
        assert isinstance(made, Reconstruction)
        found.append(made.images)
    return ssim_score(images, Reconstruction(np.concatenate(found)))


def test_one_image_is_solved_for() -> None:
    assert PatchInversion.needs == {"update"} and Knowledge(SIDE).has(PatchInversion.needs) is False
    score = reached(PatchInversion(), 1, 4)
    assert score.reached.low > 0.98
    assert score.chance is not None and score.chance < 0.7


@pytest.mark.parametrize(("batch", "sent"), [(4, {}), (1, {"optimizer": "adamw"})])
def test_what_cannot_be_solved(batch: int, sent: dict[str, str]) -> None:
    score = reached(PatchInversion(), batch, 4, **sent)
    assert score.chance is not None and score.reached.mean < score.chance


@pytest.mark.slow
def test_one_image_is_matched() -> None:
    score = reached(GradientInversion(), 1, 1)
    assert score.reached.mean > 0.8


@pytest.mark.slow
def test_eight_images_are_not_matched() -> None:
    score = reached(GradientInversion(), 8, 8)
    assert score.chance is not None and score.reached.mean < score.chance
