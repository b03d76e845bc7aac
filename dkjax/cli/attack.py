"""`dkjax attack`: what an adversary gets back from encrypted images."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson, Overrides
from dkjax.errors import ConfigError, LimitExceededError
from dkjax.report.console import say, show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dkjax.attacks.cases import Case

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@for_people
def attack(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(help="A TOML file, as for dkjax simulate, or an encrypted data set.", metavar="TARGET")
    ],
    overrides: Overrides = None,
    images: Annotated[int, typer.Option(min=1, help="How many images to attack in each setting.")] = 16,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="An attack to try; all by default.", metavar="ATTACK"),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option(
            help="Other images, which the adversary has: a source like data.source. The learned inverter needs them.",
            metavar="SOURCE",
        ),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Stop after this time.", metavar="10m")] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Where the results are written; runs/NAME-attacks by default.")
    ] = None,
    max_ssim: Annotated[
        float | None, typer.Option(help="Exit with 3 if an attack reaches a higher SSIM with the plain images.")
    ] = None,
    max_link: Annotated[
        float | None, typer.Option(help="Exit with 3 if a larger share of images is linked to theirs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attack encrypted images as an adversary would who has no key, and say what comes back.

    Takes images of a configuration's source, encrypts them as each of its arms would, and tries every attack on each
    arm; of an encrypted data set it takes the images as they are. Every number stands beside what chance and the best
    case give. Stopped at any point, the same command goes on.
    """
    seconds = None if budget is None else _seconds(budget)
    one_thread()

    from dkjax.attacks.suite import RESULTS, strongest
    from dkjax.attacks.trials import TRIALS
    from dkjax.config import nearest

    for name in only or ():
        if name not in TRIALS:
            raise ConfigError(f"there is no attack {name!r}: {nearest(name, list(TRIALS))}")
    cases, request = _cases(target, overrides or [], images, public)
    workdir = workdir or Path("runs") / f"{target.stem}-attacks"
    results = tried(cases, workdir, request, only or list(TRIALS), seconds)
    if as_json:
        typer.echo(json.dumps(results, allow_nan=False))
    else:
        print_attacks(results)
    say(f"written: {workdir / RESULTS}")
    for option, limit, metric in (("--max-ssim", max_ssim, "ssim"), ("--max-link", max_link, "top1")):
        most = strongest(results, metric)
        if limit is None:
            continue
        if most is None:
            raise ConfigError(f"{option}: no attack that was tried measures it")
        if most[2] > limit:
            raise LimitExceededError(f"{option} {limit:g}: {most[1]} reaches {most[2]:.3f} on {most[0]}")


def one_thread() -> None:
    """Let NumPy compute in one thread, if it is not imported yet: its matrices are too small here to be shared."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def tried(
    cases: "Iterable[Case]", workdir: Path | None, request: dict[str, Any], attacks: list[str], budget: float | None
) -> dict[str, Any]:
    """Run the suite under a bar; see `dkjax.attacks.suite.run_suite`."""
    from dkjax.attacks.suite import Progress, run_suite
    from dkjax.cli.progress import Activity

    with Activity() as activity:
        at_hand, count = "", activity.counting("encrypting", "images")

        def report(progress: Progress) -> None:
            nonlocal at_hand, count
            if at_hand != (at_hand := f"{progress.setting}, {progress.attack}"):
                count = activity.counting(at_hand, progress.unit)
            count(progress.done, progress.total)

        return run_suite(cases, workdir, request, attacks=attacks, budget=budget, report=report)


def _cases(
    target: Path, overrides: list[str], images: int, public: str | None
) -> "tuple[Iterable[Case], dict[str, Any]]":
    from dkjax.attacks.cases import case_of_data_set, cases_of_config
    from dkjax.config import config_hash, load_config
    from dkjax.dkds import open_data_set

    request: dict[str, Any] = {"images": images} | ({} if public is None else {"public": public})
    if target.suffix == ".dkds" or target.is_dir():
        if overrides:
            raise ConfigError("--set changes a configuration, and an encrypted data set has none")
        data_set = open_data_set(target)
        return [case_of_data_set(data_set, images, public)], {"data_set": data_set.manifest.id, **request}
    config = load_config(target, overrides)
    return cases_of_config(config, images, public), {"config_hash": config_hash(config), **request}


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or not float(match[1]):
        raise ConfigError(f"--budget {text}: expected a time above 0, such as 90s, 10m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def print_attacks(results: dict[str, Any]) -> None:
    """Print what `dkjax.attacks.suite.run_suite` returned."""
    for name, setting in results["settings"].items():
        show(f"{name}: {setting['scheme']}, {setting['images']} images")
        show(f"  {'attack':<16} {'measure':<22} {'reached':>8}  {'95 % interval':<16} {'chance':>7} {'best':>6}")
        for attack_name, tried in setting["attacks"].items():
            for metric, score in tried["scores"].items():
                few = f"  {score['images']} images, out of time" if tried["cut_short"] else ""
                show(
                    f"  {attack_name:<16} {metric:<22} {score['mean']:>8.3f}  "
                    f"{score['low']:>7.3f}..{score['high']:<7.3f} {_number(score['chance']):>7} "
                    f"{_number(score['ceiling']):>6}{few}"
                )
        for attack_name, why in setting["skipped"].items():
            show(f"  {attack_name:<16} skipped: {why}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
