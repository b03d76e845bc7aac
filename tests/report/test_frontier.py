"""The frontier: what is not dominated, what is recommended, and whether restricted matrices are beaten."""

import dataclasses
from typing import Any

import pytest
from matplotlib.text import Text

from dkjax.attacks.suite import OUT_OF_TIME
from dkjax.errors import ConfigError
from dkjax.report.frontier import Frontier, beaten, frontier, non_dominated, recommended, verdict
from dkjax.report.frontier_figure import draw_frontier


def arm(name: str, accuracy: float, **changes: Any) -> dict[str, Any]:
    views = {"plain": accuracy - 0.25, **({} if name.startswith("plain") else {"fresh_key": accuracy})}
    plain = {"scheme": None, "keys": "none"} if name.startswith("plain") else {}
    fixed = {"fixed_blocks": 0, "fixed_pixels": 0, "pixel_order": "image"}
    spreads = {view: {"mean": mean, "std": 0.0, "runs": [mean]} for view, mean in views.items()}
    return (
        {"name": name, "scheme": "disposable", "keys": "per_image", **fixed, "test_accuracy": spreads} | plain | changes
    )


def tried(scheme: str = "disposable", **ssim: float) -> dict[str, Any]:
    scores = {name: {"ssim": {"mean": mean, "chance": 0.3}} for name, mean in ssim.items() if name != "thumbnail"}
    if "thumbnail" in ssim:
        scores["thumbnail"] = {"ssim_of_block_means": {"mean": ssim["thumbnail"], "chance": 0.1}}
    attacks = {name.replace("_", "-"): {"scores": found, "cut_short": False} for name, found in scores.items()}
    return {"scheme": scheme, "attacks": attacks, "skipped": {}}


ARMS = [
    arm("plain", 1.15),
    arm("disposable-0-0", 0.5),
    arm("disposable-50-50", 0.7, fixed_blocks=8, fixed_pixels=24),
    arm("disposable-75-75", 0.85, fixed_blocks="75%"),
    arm("disposable-sorted", 0.7001, scheme="sorted_blocks", pixel_order="sorted", fixed_blocks=3),
    arm("disposable-block", 0.6, pixel_order="block"),
    arm("shared_key", 0.9, keys="shared"),
    arm("fedavg", 0.9, scheme=None, federation=[]),
]
ATTACKS = {
    "settings": {
        "disposable-0-0": tried(looking=0.02, puzzle=0.9, thumbnail=0.4),
        "disposable-50-50": tried(looking=0.1, puzzle=0.95, thumbnail=0.5),
        "disposable-75-75": tried(looking=0.97, puzzle=0.2, thumbnail=0.5),
        "disposable-sorted": tried("sorted_blocks", looking=0.08, puzzle=0.05, thumbnail=0.45),
        "disposable-block": tried(looking=0.02, puzzle=0.05, thumbnail=0.4),
        "shared_key": tried(looking=0.01, puzzle=0.02, known_plaintext=1.0),
    }
}


def test_sorting_gives_back_what_sorted_blocks_do() -> None:
    """Noise at its values' places makes a picture less like the plain one, until somebody sorts them."""
    arms = [
        arm("disposable-block", 0.6, pixel_order="block"),
        arm("disposable-block-50", 0.6, pixel_order="block", fixed_blocks=8),
        arm("disposable-sorted", 0.7, scheme="sorted_blocks", fixed_pixels=None),
        arm("disposable-few", 0.7, scheme="sorted_blocks", fixed_pixels=None, levels=4),
        arm("disposable-channels", 0.7, scheme="sorted_blocks", fixed_pixels=None, order_by="channel"),
        arm("disposable-pixels", 0.7, scheme="sorted_blocks", fixed_pixels=None, order_by="luminance"),
    ]
    settings = {
        "disposable-block": tried(looking=0.02, puzzle=0.05),
        "disposable-block-50": tried(looking=0.02, puzzle=0.06),
        "disposable-sorted": tried("sorted_blocks", looking=0.08, puzzle=0.31),
        "disposable-few": tried("sorted_blocks", looking=0.08, puzzle=0.5),
        "disposable-channels": tried("sorted_blocks", looking=0.08, puzzle=0.6),
        "disposable-pixels": tried("sorted_blocks", looking=0.2, puzzle=0.24),
    }
    found = {one.name: (one.ssim, one.attack) for one in frontier(arms, {"settings": settings}).settings}
    assert found["disposable-block"] == (0.31, "puzzle, sorted")
    assert found["disposable-block-50"] == (0.06, "puzzle")
    assert found["disposable-sorted"] == (0.31, "puzzle")
    assert found["disposable-few"] == (0.5, "puzzle")
    assert found["disposable-channels"] == (0.6, "puzzle")
    assert found["disposable-pixels"] == (0.31, "puzzle, sorted")


@pytest.fixture
def found() -> Frontier:
    return frontier(ARMS, ATTACKS)


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([], []),
        ([(0.5, 0.5)], [True]),
        ([(0.9, 0.9), (0.5, 0.1), (0.5, 0.2), (0.4, 0.1), (0.7, 0.9)], [True, True, False, False, False]),
        ([(0.5, 0.5), (0.5, 0.5), (0.4, 0.5)], [True, True, False]),
        ([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], [True, True, True]),
    ],
)
def test_non_dominated(points: list[tuple[float, float]], kept: list[bool]) -> None:
    assert non_dominated(points) == kept


def test_the_strongest_attack_counts(found: Frontier) -> None:
    assert {setting.name: (setting.ssim, setting.attack) for setting in found.settings} == {
        "disposable-0-0": (0.9, "puzzle"),
        "disposable-50-50": (0.95, "puzzle"),
        "disposable-75-75": (0.97, "looking"),
        "disposable-sorted": (0.08, "looking"),
        "disposable-block": (0.05, "puzzle"),
        "shared_key": (1.0, "known-plaintext"),
    }
    assert [setting.name for setting in found.settings if setting.restricted] == [
        "disposable-50-50",
        "disposable-75-75",
    ]
    assert (found.plain, found.chance) == (pytest.approx(0.9), 0.3)


def test_what_is_not_dominated(found: Frontier) -> None:
    assert [setting.name for setting in found.best] == ["disposable-block", "disposable-sorted", "disposable-75-75"]


def test_a_recommendation_is_within_the_limits(found: Frontier) -> None:
    names = [(setting := recommended(found, limit)) and setting.name for limit in (0.04, 0.05, 0.2, 0.97)]
    assert names == [None, "disposable-block", "disposable-sorted", "disposable-75-75"]
    within = recommended(found, 0.2, 0.4)
    assert within is not None and within.name == "disposable-block"
    blind = dataclasses.replace(
        found, settings=tuple(dataclasses.replace(setting, thumbnail=None) for setting in found.settings)
    )
    with pytest.raises(ConfigError, match="no thumbnail was measured, which takes at least 7 x 7 blocks"):
        recommended(blind, 0.2, 0.4)


def test_of_equally_accurate_settings_the_one_that_leaks_least(found: Frontier) -> None:
    first, *_ = found.settings
    equal = tuple(
        dataclasses.replace(first, name=name, ssim=ssim) for name, ssim in (("a", 0.3), ("b", 0.1), ("c", 0.2))
    )
    best = recommended(dataclasses.replace(found, settings=equal), 0.5)
    assert best is not None and best.name == "b"


def test_the_verdict(found: Frontier) -> None:
    # An equal accuracy is not beaten, one that is a hundredth of a point less is.
    assert beaten(found) == {"disposable-50-50": ["disposable-sorted"], "disposable-75-75": []}
    assert verdict(found) == (
        "In part: 1 of the 2 settings with restricted matrices are beaten in both accuracy and leakage, 1 by "
        "disposable-sorted; the most accurate that none beats is disposable-75-75 (85.0 %, SSIM 0.97 by looking)."
    )
    tie = arm("disposable-0-0", 0.705)
    assert "1 by disposable-sorted;" in verdict(
        frontier([tie if one["name"] == tie["name"] else one for one in ARMS], ATTACKS)
    )
    without = {name: ATTACKS["settings"][name] for name in ATTACKS["settings"] if name != "disposable-75-75"}
    assert verdict(frontier(ARMS, {"settings": without})) == (
        "Yes: every one of the 1 settings with restricted matrices is beaten in both accuracy and leakage, 1 by "
        "disposable-sorted."
    )
    del without["disposable-sorted"]
    assert verdict(frontier(ARMS, {"settings": without})) == (
        "No setting beats any of the 1 settings with restricted matrices in both accuracy and leakage."
    )
    del without["disposable-50-50"]
    assert "is open" in verdict(frontier(ARMS, {"settings": without}))


def test_arms_that_are_missing_are_listed() -> None:
    settings = dict(ATTACKS["settings"])
    del settings["disposable-0-0"]
    settings["disposable-block"] = tried(looking=0.02)
    settings["disposable-75-75"] = {**tried(looking=0.9), "skipped": {"puzzle": OUT_OF_TIME}}
    settings["disposable-50-50"] = {**tried(looking=0.9), "skipped": {"puzzle": "it needs at least 9 blocks"}}
    found = frontier(ARMS, {"settings": settings}, "fresh_key", ["disposable-new"])
    assert found.untrained == ("disposable-new",)
    assert found.unattacked == ("disposable-0-0", "disposable-75-75", "disposable-block")
    assert [setting.name for setting in found.settings] == ["disposable-50-50", "disposable-sorted", "shared_key"]
    with pytest.raises(
        ConfigError, match="no arm has both an accuracy on fresh_key test images and attacks by looking"
    ):
        frontier(ARMS, {"settings": {}})


def test_another_scheme_of_the_same_name_is_refused() -> None:
    settings = {**ATTACKS["settings"], "disposable-sorted": tried(looking=0.1, puzzle=0.1)}
    with pytest.raises(
        ConfigError, match="disposable-sorted was trained on sorted_blocks and attacked under disposable"
    ):
        frontier(ARMS, {"settings": settings})


def test_the_figure_names_what_is_not_dominated(found: Frontier) -> None:
    figure = draw_frontier([frontier(ARMS, ATTACKS, "plain"), found])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["plain test images", "test images under fresh keys"]
    for axis, accuracy in zip(figure.axes, (0.35, 0.6), strict=True):
        assert [text.get_text() for text in axis.texts] == ["block", "sorted", "75-75"]
        assert tuple(axis.texts[0].xy) == (0.05, pytest.approx(accuracy))  # type: ignore[attr-defined]
        for text in axis.texts:
            text.get_window_extent()
        boxes = [Text.get_window_extent(text) for text in axis.texts]
        assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
        drawn = [point for line in axis.lines[:3] for point in zip(*line.get_data(), strict=True)]
        assert len(drawn) == 6 and (1.0, pytest.approx(accuracy + 0.3)) in drawn
