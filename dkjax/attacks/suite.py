"""The suite: every attack on every setting, within a budget of time, and on again where it was stopped."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.attacks.cases import Case
from dkjax.attacks.judging import OF_THUMBNAILS, NotApplicableError, Step
from dkjax.attacks.ssim import WINDOW, best_symmetry
from dkjax.attacks.statistics import Score
from dkjax.attacks.symmetry import turned
from dkjax.attacks.trials import ONE_BY_ONE, PICTURES, TRIALS
from dkjax.errors import ConfigError
from dkjax.runtime.files import alone_in, read_results, whole_file, write_json

RESULTS = "attacks.json"
OUT_OF_TIME = "out of time"
"""Why an attack was skipped that a larger budget would try."""

PICTURE_FOLDER = "pictures"
"""In it a folder for each setting, and in that `plain.npz`, `sent.npz` and `ATTACK.npz`, whose `image` is of the first
few images."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the suite has come: the setting, the attack on it, and how much of how much it has done."""

    setting: str
    attack: str
    done: int
    total: int
    unit: str = "images"


def run_suite(
    cases: Iterable[Case],
    workdir: Path | None,
    request: dict[str, Any],
    *,
    attacks: Sequence[str] = tuple(TRIALS),
    budget: float | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Try attacks on settings, and write what came of each as soon as it is known.

    Args:
        cases: the settings.
        workdir: where `attacks.json` is written, and pictures of a few images; attacks that an earlier call finished
            there are not tried again. None to write nothing.
        request: plain JSON values that say what was asked for; another request needs another folder.
        attacks: which of `TRIALS`.
        budget: seconds; an attack that is then under way keeps the images it has done, and later ones are listed.
        report: called with the progress.

    Returns:
        The results as written: for each setting its scores, and which attacks were skipped and why.

    Raises:
        ConfigError: the folder holds the results of another request, or the budget ended before the first score.

    Guarantees:
        - a stopped suite goes on (`test_suite.py::test_goes_on_where_it_was_stopped`).
        - what does not apply is listed (`test_suite.py::test_what_does_not_apply_is_listed`).
    """
    deadline = None if budget is None else time.monotonic() + budget
    results: dict[str, Any] = {"request": request, "settings": {}}
    with contextlib.ExitStack() as stack:
        if workdir is not None:
            workdir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(workdir, "--workdir"))
            results = read_results(workdir / RESULTS, "request", "settings") or results
        if results["request"] != request:
            raise ConfigError(f"{workdir} holds the results of another request: choose another --workdir")
        for case in cases:
            before = results["settings"].get(case.name, {})
            setting = {
                "scheme": case.scheme.name,
                "images": len(case.sent.images),
                "attacks": before.get("attacks", {}),
                "skipped": {},
            }
            results["settings"][case.name] = setting
            pictures = None if workdir is None else workdir / PICTURE_FOLDER / case.name
            _keep(pictures, "sent", case.sent.images)
            if case.plain is not None:
                _keep(pictures, "plain", case.plain)
            for attack in attacks:
                if attack not in setting["attacks"] or setting["attacks"][attack]["cut_short"]:
                    _try(case, attack, setting, pictures, deadline, report)
                    if workdir is not None:
                        write_json(workdir / RESULTS, results)
    if not any(setting["attacks"] for setting in results["settings"].values()):
        if all(why == OUT_OF_TIME for setting in results["settings"].values() for why in setting["skipped"].values()):
            raise ConfigError(f"a budget of {budget:g} s ended before the first attack had a score: give more")
        raise ConfigError("no attack applies: " + "; ".join(_reasons(results)))
    return results


def _try(
    case: Case,
    attack: str,
    setting: dict[str, Any],
    pictures: Path | None,
    deadline: float | None,
    report: Callable[[Progress], None],
) -> None:
    started = time.monotonic()
    total = len(case.sent.images)
    last = Step([])
    cut_short = False
    report(Progress(case.name, attack, 0, total))
    if deadline is not None and started >= deadline:
        setting["skipped"][attack] = OUT_OF_TIME
        return
    try:
        for step, so_far in enumerate(TRIALS[attack](case), start=1):
            last = so_far
            done, of = so_far.learned
            report(Progress(case.name, attack, *((done, of, "steps") if of else (step, total))))
            unfinished = done < of or (attack in ONE_BY_ONE and step < total)
            cut_short = unfinished and deadline is not None and time.monotonic() >= deadline
            if cut_short:
                break
    except NotApplicableError as reason:
        setting["skipped"][attack] = str(reason)
        return
    if cut_short and not last.scores:
        setting["skipped"][attack] = OUT_OF_TIME
        return
    setting["attacks"][attack] = {
        "scores": {score.metric: _as_json(score) for score in last.scores},
        "cut_short": cut_short,
        "seconds": round(time.monotonic() - started, 3),
    }

    if last.pictures is not None and pictures is not None:
        _keep(pictures, attack, _as_plain(case, last) if last.symmetric else last.pictures)


def _as_plain(case: Case, step: Step) -> np.ndarray:
    """Turn pictures as the plain ones are, where those are known."""
    assert step.pictures is not None
    if case.plain is None or min(case.plain.shape[1:3]) < WINDOW:
        return step.pictures
    pairs = list(zip(case.plain, step.pictures, strict=False))
    return np.stack([turned(made, best_symmetry(plain, made)[0]) for plain, made in pairs])


def _keep(folder: Path | None, name: str, images: np.ndarray) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / f"{name}.npz") as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, image=images[:PICTURES])


def _as_json(score: Score) -> dict[str, Any]:
    return {**dataclasses.asdict(score.reached), "chance": score.chance, "ceiling": score.ceiling}


def _reasons(results: dict[str, Any]) -> list[str]:
    skipped: dict[str, dict[str, None]] = {}
    for setting in results["settings"].values():
        for attack, why in setting["skipped"].items():
            skipped.setdefault(why, {})[attack] = None
    return [f"{', '.join(attacks)}: {why}" for why, attacks in skipped.items()]


def strongest(results: dict[str, Any], metric: str) -> tuple[str, str, float] | None:
    """Find the setting and the attack that reached most by a measure.

    Args:
        results: what `run_suite` returned.
        metric: how the measure's name begins, such as `ssim` or `top1`.

    Returns:
        The setting, the attack and the mean it reached; None if nothing was so measured.
    """
    reached = [
        (setting, attack, score["mean"])
        for setting, of_setting in results["settings"].items()
        for attack, of_attack in of_setting["attacks"].items()
        for name, score in of_attack["scores"].items()
        if name.startswith(metric) and name not in OF_THUMBNAILS
    ]
    return max(reached, key=lambda found: found[2], default=None)
