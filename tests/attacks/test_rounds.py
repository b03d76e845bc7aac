"""Many rounds: fixed positions differ by key, so more rounds reveal more."""

import numpy as np
from encrypting import encrypting
from photographs import FILES, load

from dkjax import schemes
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.rounds import ManyRounds
from dkjax.attacks.ssim import ssim


def similarity(share: float, rounds: tuple[int, ...]) -> list[float]:
    photograph = load(FILES[2], 64)[None]
    scheme = schemes.disposable(block_size=8, fixed_blocks=int(64 * share), fixed_pixels=int(192 * share))
    with encrypting(scheme) as send:
        views = np.stack([send(photograph).images for _ in range(max(rounds))])
    return [
        ssim(photograph, ManyRounds().run(views[0], Knowledge(8, again=views[1:many])).images)[0] for many in rounds
    ]


def test_more_rounds_reveal_more() -> None:
    once, thrice, often = similarity(0.75, (1, 3, 12))
    assert once + 0.1 < thrice < often - 0.1 and often > 0.9


def test_nothing_stays_nothing_comes_back() -> None:
    assert similarity(0.0, (12,))[0] < 0.15
