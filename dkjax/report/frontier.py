"""The frontier: accuracy against what the strongest attack gets back, and which settings no other one beats."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dkjax.attacks.suite import OUT_OF_TIME
from dkjax.errors import ConfigError

COUNTED = ("looking", "known-plaintext", "puzzle")
"""Attacks on the picture that need encrypted images alone, or one of them in plain, as a client has its own."""

_MUST_BE_TRIED = ("looking", "puzzle")
_THUMBNAIL = "ssim_of_block_means"

Group = Literal["common", "other", "shared"]
"""Where a setting belongs: a key for each image and one order of values for all its blocks, as the paper has it; a key
for each image and another scheme; or one key for many images."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting of an encryption, trained on and attacked.

    Attributes:
        name: of the arm.
        group: where it belongs.
        restricted: whether its matrices are restricted: one order of values, and positions that stay in place.
        accuracy: by how the test images are shown.
        ssim: the most that a counted attack got back, in the mean over images: of the upload, or of the upload with the
            values of its blocks sorted, where an arm of `sorted_blocks` was attacked.
        attack: which one that was; with ", sorted" if of the latter.
        thumbnail: SSIM of the block means that the thumbnail attack placed; None where that was not measured.
    """

    name: str
    group: Group
    restricted: bool
    accuracy: Mapping[str, float]
    ssim: float
    attack: str
    thumbnail: float | None


@dataclasses.dataclass(frozen=True)
class Frontier:
    """Settings by one way of showing test images.

    Attributes:
        view: that way, such as `fresh_key`.
        settings: those that were trained on and attacked.
        plain: the best accuracy of training on plain images; None where there is no such arm.
        chance: SSIM of the mean image, which needs no encrypted image; None where it was not measured.
        untrained: names of arms that have no accuracy yet.
        unattacked: names of arms on which an attack is missing.
    """

    view: str
    settings: tuple[Setting, ...]
    plain: float | None
    chance: float | None
    untrained: tuple[str, ...]
    unattacked: tuple[str, ...]

    @property
    def competing(self) -> list[Setting]:
        """The settings with a key for each image. Where images share one, whoever has the key reads all of them."""
        return [setting for setting in self.settings if setting.group != "shared"]

    @property
    def best(self) -> list[Setting]:
        """The competing settings that are not dominated, the one that leaks least first."""
        points = [(setting.accuracy[self.view], setting.ssim) for setting in self.competing]
        kept = [setting for setting, keep in zip(self.competing, non_dominated(points), strict=True) if keep]
        return sorted(kept, key=lambda setting: (setting.ssim, setting.accuracy[self.view], setting.name))


def non_dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Say which points no other one beats: none is as good in both, and better in one.

    Args:
        points: of each, how much is won and how much is paid.

    Returns:
        One answer a point; of points that are equal, the same.
    """
    return [
        not any(won >= own and paid <= cost and (won, paid) != (own, cost) for won, paid in points)
        for own, cost in points
    ]


def frontier(
    arms: Sequence[Mapping[str, Any]],
    attacks: Mapping[str, Any],
    view: str = "fresh_key",
    untrained: Sequence[str] = (),
) -> Frontier:
    """Put accuracies beside leakage.

    Args:
        arms: of `results.json`. Arms in which no image leaves a client are left out.
        attacks: of `attacks.json`: of the same arms, be it of other images.
        view: how test images are shown.
        untrained: names of arms that are not among `arms`, as their training is not finished.

    Returns:
        The settings by this view.

    Raises:
        ConfigError: an arm was attacked under another scheme, or none was both trained on and attacked.
    """
    sending = [arm for arm in arms if arm.get("federation") is None]
    attacked, settings, unattacked = attacks["settings"], [], []
    for arm in sending:
        if arm["scheme"] is None or view not in arm["test_accuracy"]:
            continue
        tried = attacked.get(arm["name"])
        if tried is not None and tried["scheme"] != arm["scheme"]:
            raise ConfigError(
                f"{arm['name']} was trained on {arm['scheme']} and attacked under {tried['scheme']}: attack the arms "
                "of the configuration that was trained"
            )
        reached = {} if tried is None else _reached(tried)
        if not reached:
            unattacked.append(arm["name"])
            continue
        for other in _sorted_forms(arm, sending):
            of_sorted = _reached(attacked.get(other["name"], {"attacks": {}, "skipped": {}}))
            reached |= {f"{attack}, sorted": mean for attack, mean in of_sorted.items()}
        ssim, attack = max((mean, attack) for attack, mean in reached.items())
        group = _group(arm)
        thumbnail = tried["attacks"].get("thumbnail", {"scores": {}})["scores"].get(_THUMBNAIL)
        settings.append(
            Setting(
                arm["name"],
                group,
                group == "common" and any(_stays(arm[name]) for name in ("fixed_blocks", "fixed_pixels")),
                {name: spread["mean"] for name, spread in arm["test_accuracy"].items()},
                ssim,
                attack,
                None if thumbnail is None else thumbnail["mean"],
            )
        )
    if not settings:
        raise ConfigError(
            f"no arm has both an accuracy on {view} test images and attacks by {' and '.join(_MUST_BE_TRIED)}: "
            f"trained are {_names(arm['name'] for arm in arms)}, attacked {_names(attacked)}"
        )
    plain = [arm["test_accuracy"]["plain"]["mean"] for arm in sending if arm["scheme"] is None]
    puzzles = [tried["attacks"].get("puzzle", {"scores": {}})["scores"] for tried in attacked.values()]
    chances = [scores["ssim"]["chance"] for scores in puzzles if "ssim" in scores]
    return Frontier(
        view, tuple(settings), max(plain, default=None), max(chances, default=None), tuple(untrained), tuple(unattacked)
    )


def _sorted_forms(arm: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The arms whose uploads are those of an arm with the values of each block sorted, which anybody can do."""
    apart = arm["scheme"] == "sorted_blocks" and arm.get("order_by") in ("channel", "luminance")
    if not (arm["scheme"] == "disposable" or apart) or arm["keys"] != "per_image":
        return []
    whole = {"scheme": "sorted_blocks", "keys": "per_image", "fixed_blocks": arm.get("fixed_blocks")}
    variants = {"order_by": (None, "value"), "levels": (None, 256), "epsilon": (None, 0.0)}
    return [
        other
        for other in arms
        if all(other.get(name) == value for name, value in whole.items())
        and all(other.get(name) in plain for name, plain in variants.items())
    ]


def _names(names: Any) -> str:
    return ", ".join(names) or "none"


def _group(arm: Mapping[str, Any]) -> Group:
    if arm["keys"] != "per_image":
        return "shared"
    return "common" if arm["scheme"] == "disposable" and arm.get("pixel_order", "image") == "image" else "other"


def _stays(fixed: int | str | None) -> bool:
    """Whether positions stay in place: a number of them, or a share such as 50%."""
    return fixed is not None and float(str(fixed).removesuffix("%")) > 0


def _reached(tried: Mapping[str, Any]) -> dict[str, float]:
    """SSIM by attack; nothing if an attack that matters is still to be tried."""
    missing = [name for name in _MUST_BE_TRIED if name not in tried["attacks"]]
    if any(tried["skipped"].get(name, OUT_OF_TIME) == OUT_OF_TIME for name in missing):
        return {}
    scores = {name: tried["attacks"][name]["scores"] for name in COUNTED if name in tried["attacks"]}
    return {name: of_attack["ssim"]["mean"] for name, of_attack in scores.items() if "ssim" in of_attack}


def recommended(found: Frontier, max_ssim: float, max_thumbnail: float | None = None) -> Setting | None:
    """Name the most accurate setting within limits.

    Args:
        found: the settings.
        max_ssim: the most that may come back of a picture.
        max_thumbnail: the most that may come back of its block means; None for no limit.

    Returns:
        The setting, of equally accurate ones that which leaks least; None if there is none within the limits.

    Raises:
        ConfigError: thumbnails are limited and were not measured.
    """
    if max_thumbnail is not None and all(setting.thumbnail is None for setting in found.settings):
        raise ConfigError("--max-thumbnail: no thumbnail was measured, which takes at least 7 x 7 blocks an image")
    within = [
        setting
        for setting in found.competing
        if setting.ssim <= max_ssim
        and (max_thumbnail is None or (setting.thumbnail is not None and setting.thumbnail <= max_thumbnail))
    ]
    return max(within, key=lambda setting: (setting.accuracy[found.view], -setting.ssim), default=None)


def beaten(found: Frontier) -> dict[str, list[str]]:
    """List for each restricted setting which settings that are not restricted are more accurate and leak less."""
    return {
        setting.name: [
            other.name
            for other in found.competing
            if not other.restricted
            and other.accuracy[found.view] > setting.accuracy[found.view]
            and other.ssim < setting.ssim
        ]
        for setting in found.competing
        if setting.restricted
    }


def verdict(found: Frontier) -> str:
    """Answer in one sentence whether any setting beats the restricted matrices in both accuracy and leakage."""
    losses = beaten(found)
    lost = [name for name, others in losses.items() if others]
    if not losses or len(losses) == len(found.competing):
        return "Whether any setting beats the restricted matrices is open: there are not both such settings and others."
    of_them = f"of the {len(losses)} settings with restricted matrices"
    if not lost:
        return f"No setting beats any {of_them} in both accuracy and leakage."
    counts = Counter(other for others in losses.values() for other in others)
    leaks = {setting.name: setting.ssim for setting in found.competing}
    winner = max(counts, key=lambda name: (counts[name], -leaks[name]))
    count = counts[winner]
    if len(lost) == len(losses):
        return f"Yes: every one {of_them} is beaten in both accuracy and leakage, {count} by {winner}."
    kept = [setting for setting in found.competing if setting.restricted and setting.name not in lost]
    most = max(kept, key=lambda setting: setting.accuracy[found.view])
    return (
        f"In part: {len(lost)} {of_them} are beaten in both accuracy and leakage, {count} by {winner}; the most "
        f"accurate that none beats is {most.name} ({describe(most, found.view)})."
    )


def describe(setting: Setting, view: str) -> str:
    """A setting's accuracy and leakage in words."""
    return f"{100 * setting.accuracy[view]:.1f} %, SSIM {setting.ssim:.2f} by {setting.attack}"


def as_json(found: Frontier) -> dict[str, Any]:
    """Everything as plain JSON values."""
    best = [setting.name for setting in found.best]
    return {
        "view": found.view,
        "settings": [
            {**dataclasses.asdict(setting), "non_dominated": setting.name in best} for setting in found.settings
        ],
        "plain": found.plain,
        "chance": found.chance,
        "non_dominated": best,
        "beaten": beaten(found),
        "verdict": verdict(found),
        "untrained": list(found.untrained),
        "unattacked": list(found.unattacked),
    }
