"""What a report says: the question, the answer, and what they rest on."""

import shlex
from collections.abc import Mapping
from typing import Any

from dkjax.attacks.judging import OF_THUMBNAILS
from dkjax.attacks.suite import strongest
from dkjax.attacks.trials import TRIALS
from dkjax.config.as_toml import as_toml
from dkjax.errors import ConfigError
from dkjax.report import scores
from dkjax.report.cards import data_card, model_card
from dkjax.report.charts import VIEWS, accuracy_chart, as_svg
from dkjax.report.document import Chart, Document, Listing, Section, Table
from dkjax.report.frontier import Frontier, frontier, verdict
from dkjax.report.frontier_figure import draw_frontier
from dkjax.report.pictures import tiles
from dkjax.report.run_files import RunFiles

_INTERVALS = (
    "In brackets: 95 % intervals, of accuracies over test images (Wilson), of attacks over the attacked images "
    "(bootstrap). The spread between trainings is not in them."
)

_ALONE = ("looking", "median", "thumbnail", "puzzle")
"""Attacks that need no more than encrypted images."""


def compose(run: RunFiles) -> Document:
    """Write the report of a run.

    Args:
        run: what its work directory holds.

    Returns:
        The document.

    Raises:
        DataError: a file of pictures is damaged.
    """
    sections = []
    if run.simulation is not None:
        sections += _accuracy(run, run.simulation)
    pictures = tiles(run)
    if pictures:
        sentence = (
            "Small images of the first client or of the source. What an attack got back is shown in the rotation or "
            "reflection that is most like the plain image, which the attack itself may not know."
        )
        sections.append(Section("What the server sees, and what came back", (sentence,), tiles=pictures))
    if run.attacks is not None:
        sections.append(_attacks(run.attacks, run))
    if run.simulation is not None:
        cost = run.simulation
        sections += [_cost(cost), model_card(cost), data_card(cost), _environment(cost)]
    sections.append(_commands(run))
    return Document(_title(run), _question(run), tuple(_answer(run)), tuple(sections))


def _title(run: RunFiles) -> str:
    return f"{run.workdir.resolve().name}: " + (
        "what an adversary gets back" if run.simulation is None else "accuracy and protection"
    )


def _question(run: RunFiles) -> str:
    cost, leak = "what does encryption cost in accuracy", "what does an adversary without a key get back"
    parts = ([] if run.simulation is None else [cost]) + ([] if run.attacks is None else [leak])
    question = ", and ".join(parts)
    return f"{question[0].upper()}{question[1:]}?"


def _answer(run: RunFiles) -> list[str]:
    found = []
    if run.simulation is not None:
        found += _accuracy_answer(run.simulation)
    if run.attacks is not None:
        found += _attack_answer(run.attacks)
    else:
        found.append("No attack was tried: how much the server can get back is not known from this run.")
    return found


def _accuracy_answer(results: Mapping[str, Any]) -> list[str]:
    count = results["data"]["test_images"]
    best: dict[str, tuple[float, str]] = {}
    for arm in results["arms"]:
        view = "plain" if "fresh_key" not in arm["test_accuracy"] else "fresh_key"
        group = "plain" if arm["scheme"] is None else arm["keys"]
        best[group] = max(best.get(group, (-1.0, "")), (arm["test_accuracy"][view]["mean"], arm["name"]))
    found = []
    plain = best.get("plain")
    if plain:
        low, high = scores.wilson(plain[0], count)
        found.append(
            f"Trained on plain images, the network classifies {100 * plain[0]:.1f} % ({100 * low:.1f} to "
            f"{100 * high:.1f}) of {count:,} plain test images correctly."
        )
    if "per_image" in best:
        reached, name = best["per_image"]
        low, high = scores.wilson(reached, count)
        behind = f", {100 * (plain[0] - reached):.1f} points less" if plain and plain[0] >= reached else ""
        found.append(
            f"Trained on images under a fresh key each, the best arm, {name}, reaches {100 * reached:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f}) on test images under fresh keys{behind}."
        )
    return found


def _attack_answer(attacks: Mapping[str, Any]) -> list[str]:
    found = []
    for alone, known in ((True, "from encrypted images alone"), (False, "by somebody who knows more")):
        most = _most(attacks["settings"], alone)
        if most is not None:
            setting, attack, metric, score = most
            found.append(
                f"The most that came back of the pictures {known}: {attack} on {setting}, {scores.measure(metric)} "
                f"{' '.join(scores.interval(score).split())}; chance {scores.number(score['chance'])}, the best is 1."
            )
    linked = strongest(dict(attacks), "top1")
    if linked is not None:
        setting, attack, mean = linked
        metric = next(iter(attacks["settings"][setting]["attacks"][attack]["scores"]))
        among = metric.removeprefix("top1_of_")
        found.append(
            f"The right one of {among} candidates is found for {100 * mean:.0f} % of images ({attack}, {setting})."
        )
    withstood = [name for name, setting in attacks["settings"].items() if _withstands(setting)]
    if withstood:
        found.append(f"No attack that was tried got back more than chance in: {', '.join(withstood)}.")
    else:
        found.append("In every setting some attack got back more than chance.")
    return found


def _most(settings: Mapping[str, Any], alone: bool) -> tuple[str, str, str, dict[str, Any]] | None:
    """Find what came back most of pictures, by attacks that need encrypted images alone, or by those that know more.

    By SSIM, or by the share of neighbouring blocks that are right: a picture put together one block aside has a low
    SSIM.
    """
    reached = [
        (name, attack, metric, score)
        for name, setting in settings.items()
        for attack, tried in setting["attacks"].items()
        if (attack in _ALONE) == alone
        for metric, score in tried["scores"].items()
        if metric.startswith(("ssim", "neighbours_right")) and metric not in OF_THUMBNAILS
    ]
    return max(reached, key=lambda one: one[3]["mean"], default=None)


def _withstands(setting: Mapping[str, Any]) -> bool:
    """Whether no attack's interval lies above chance by its principal measure."""
    tried = {name: attack["scores"] for name, attack in setting["attacks"].items() if name != "looking"}
    judged = [found[scores.principal(name, found)] for name, found in tried.items()]
    return bool(judged) and all(score["chance"] is None or score["low"] <= score["chance"] for score in judged)


def _accuracy(run: RunFiles, results: Mapping[str, Any]) -> list[Section]:
    arms, count = results["arms"], results["data"]["test_images"]
    views = [view for view in VIEWS if any(view in arm["test_accuracy"] for arm in arms)]
    settings = run.attacks["settings"] if run.attacks is not None and run.same_images else {}
    tried = [name for name in TRIALS if name != "looking" and any(name in one["attacks"] for one in settings.values())]
    headings = (
        "arm",
        *(f"{view.replace('_', '-')} test (%)" for view in views),
        "SSIM as sent",
        *(f"{name}: {_measure_of(settings, name)}" for name in tried),
    )
    rows = []
    for arm in arms:
        attacked = settings.get(arm["name"], {"attacks": {}})["attacks"]
        rows.append(
            (
                arm["name"],
                *(scores.accuracy(arm["test_accuracy"].get(view), count) for view in views),
                scores.number(arm["ssim"]),
                *(_principal_cell(name, attacked.get(name)) for name in tried),
            )
        )
    by_attack = " Of each attack the measure that says most; chance is in the tables below." if tried else ""
    table = Table(headings, tuple(rows), f"{_INTERVALS}{by_attack}")
    guess = 1 / len(results["data"]["class_names"])
    charts = [Chart(f"accuracy-{view}", accuracy_chart(arms, view, guess), VIEWS[view]) for view in views]
    sentences = [f"{note[0].upper()}{note[1:]}." for note in results["notes"]]
    panels = _frontier(arms, {"settings": settings})
    if panels:
        caption = (
            "accuracy against SSIM with the plain image of what the strongest attack got back that needs encrypted "
            "images alone, or one of them in plain; named are settings that no other one beats"
        )
        charts.append(Chart("frontier", as_svg(draw_frontier(panels)), caption))
        sentences += [verdict(panels[-1])]
    return [Section("Accuracy and protection", tuple(sentences), (table,), tuple(charts))]


def _principal_cell(attack: str, found: Mapping[str, Any] | None) -> str:
    return "-" if found is None else scores.interval(found["scores"][scores.principal(attack, found["scores"])])


def _measure_of(settings: Mapping[str, Any], attack: str) -> str:
    found = next(one["attacks"][attack]["scores"] for one in settings.values() if attack in one["attacks"])
    return scores.measure(scores.principal(attack, found))


def _frontier(arms: list[dict[str, Any]], attacks: Mapping[str, Any]) -> list[Frontier]:
    """The frontier by each view; none where too little was attacked."""
    try:
        return [frontier(arms, attacks, view) for view in ("plain", "fresh_key")]
    except ConfigError:
        return []


def _attacks(attacks: Mapping[str, Any], run: RunFiles) -> Section:
    tables = []
    for name, setting in attacks["settings"].items():
        rows = []
        for attack, tried in setting["attacks"].items():
            for metric, score in tried["scores"].items():
                cut = f"\n{score['images']} images, out of time" if tried["cut_short"] else ""
                rows.append(
                    (
                        f"{attack}{cut}",
                        scores.measure(metric),
                        scores.interval(score),
                        scores.number(score["chance"]),
                        scores.number(score["ceiling"]),
                    )
                )
        skipped = "".join(f" {attack} was skipped: {why}." for attack, why in setting["skipped"].items())
        caption = f"{name}: {setting['scheme']}, {setting['images']} images.{skipped}"
        tables.append(Table(("attack", "measure", "reached", "chance", "best possible"), tuple(rows), caption))
    sentences = [
        "The adversary is the server, or whoever has its disks: it knows the scheme and the distribution of the keys, "
        "and has no key. Chance is what somebody reaches who knows nothing. What each attack knows besides is in "
        "docs/attacks.md."
    ]
    if run.simulation is not None and not run.same_images:
        sentences.append("The attacks are of another configuration than the accuracies, so they stand by themselves.")
    return Section("What an adversary gets back, in detail", tuple(sentences), tuple(tables))


def _cost(results: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            arm["name"],
            f"{arm['upload_bytes'] / 1e6:.1f}",
            f"{arm['encrypt_seconds']:.1f}",
            f"{arm['seconds']:.0f}",
            "-" if arm["key_space_bits"] is None else f"{arm['key_space_bits']['effective']:.0f}",
        )
        for arm in results["arms"]
    )
    headings = ("arm", "uploads of all clients (MB)", "encrypting (s)", "a run in all (s)", "key space (bits)")
    return Section("Cost", tables=(Table(headings, rows, "Times of this run on this machine, whatever else it did."),))


def _environment(results: Mapping[str, Any]) -> Section:
    device = results["device"]
    rows = (
        ("device", f"{device['count']} x {device['kind']} ({device['platform']})"),
        *results["versions"].items(),
        ("configuration", f"SHA-256 {results['config_hash']}"),
    )
    return Section("Environment", tables=(Table(("what", "which"), rows),))


def _commands(run: RunFiles) -> Section:
    where, lines, listings = shlex.quote(str(run.workdir)), [], []
    if run.simulation is not None:
        lines.append(f"dkjax simulate run.toml --workdir {where}")
        listings.append(Listing(as_toml(run.simulation["config"]), "run.toml, with every default"))
    if run.attacks is not None:
        lines.append(_attack_command(run.attacks, run))
    lines.append(f"dkjax report {where}")
    return Section("Commands", listings=(Listing("\n".join(lines)), *listings))


def _attack_command(attacks: Mapping[str, Any], run: RunFiles) -> str:
    request = attacks["request"]
    tried = {name for one in attacks["settings"].values() for name in (*one["attacks"], *one["skipped"])}
    only = [f"--only {name}" for name in TRIALS if name in tried] if tried != set(TRIALS) else []
    target = "run.toml" if run.same_images else "CONFIG" if "config_hash" in request else "NAME.dkds"
    return " ".join(
        [
            "dkjax attack",
            target,
            f"--images {request['images']}",
            *only,
            f"--workdir {shlex.quote(str(run.attack_folder))}",
        ]
    )
