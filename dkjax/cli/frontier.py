"""`dkjax frontier`: which settings no other one beats in accuracy and leakage, and which to take under a limit."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.errors import ConfigError, LimitExceededError
from dkjax.report.console import print_line, print_table, results_console, say

if TYPE_CHECKING:
    from dkjax.report.frontier import Frontier, Setting


@for_people
def frontier(
    context: typer.Context,
    simulation: Annotated[
        Path,
        typer.Argument(
            help="The --workdir of a dkjax simulate, finished or not, or what it printed with --json.", metavar="DIR"
        ),
    ],
    attacks: Annotated[
        Path | None,
        typer.Option(
            help="The --workdir of a dkjax attack on the same arms, be it of other images, or what it printed with "
            "--json; DIR/attacks by default."
        ),
    ] = None,
    view: Annotated[
        Literal["fresh_key", "plain"], typer.Option(help="How test images are shown, for the names and the answer.")
    ] = "fresh_key",
    max_ssim: Annotated[
        float | None, typer.Option(help="Recommend the most accurate setting of which no more comes back.")
    ] = None,
    max_thumbnail: Annotated[
        float | None, typer.Option(help="With --max-ssim, the most that may come back of the means of blocks, too.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw accuracy against leakage.", metavar="NAME.png|NAME.svg", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set accuracy against what the strongest attack got back, and name the settings that no other one beats.

    Leakage is SSIM with the plain image of the most that looking, the puzzle attack, or one known plain image got
    back. Arms that are not trained or not attacked yet are listed and left out.
    """
    from dkjax.report import frontier as frontiers
    from dkjax.report.run_files import read_arms, read_attacks

    if max_thumbnail is not None and max_ssim is None:
        raise ConfigError("--max-thumbnail is a second limit: give --max-ssim, too")
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise ConfigError(f"--figure {figure}: a figure is NAME.png or NAME.svg")
    if figure is not None and not figure.parent.is_dir():
        raise ConfigError(f"--figure {figure}: there is no folder {figure.parent}")
    arms, untrained = read_arms(simulation)
    attacked = read_attacks(simulation / "attacks" if attacks is None else attacks)
    found = frontiers.frontier(arms, attacked, view, untrained)
    advised = None if max_ssim is None else frontiers.recommended(found, max_ssim, max_thumbnail)
    if figure is not None:
        from dkjax.report.charts import as_svg
        from dkjax.report.frontier_figure import draw_frontier

        drawn = draw_frontier([frontiers.frontier(arms, attacked, other) for other in ("plain", "fresh_key")])
        if figure.suffix == ".svg":
            figure.write_text(as_svg(drawn), encoding="utf-8")
        else:
            drawn.savefig(figure)
        say(f"written: {figure}")
    if as_json:
        name = None if advised is None else advised.name
        typer.echo(json.dumps({**frontiers.as_json(found), "recommended": name}, allow_nan=False))
    else:
        _print(found, advised)
    if max_ssim is not None and advised is None:
        raise LimitExceededError(f"no setting that was trained and attacked is within --max-ssim {max_ssim:g}")


def _print(found: "Frontier", advised: "Setting | None") -> None:
    from dkjax.report.frontier import describe, verdict

    console, best = results_console(), found.best
    headings = ("setting", "plain\ntest (%)", "fresh-key\ntest (%)", "SSIM", "by", "block\nmeans", "not\ndominated")
    rows = [
        (
            setting.name,
            *(
                f"{100 * setting.accuracy[view]:.1f}" if view in setting.accuracy else "-"
                for view in ("plain", "fresh_key")
            ),
            f"{setting.ssim:.2f}",
            setting.attack,
            "-" if setting.thumbnail is None else f"{setting.thumbnail:.2f}",
            "yes" if setting in best else "shared key" if setting.group == "shared" else "",
        )
        for setting in sorted(found.settings, key=lambda setting: -setting.accuracy[found.view])
    ]
    print_table(
        console, headings, rows, text_columns=(headings[0], headings[4]), left_out_first=(headings[4], headings[5])
    )
    for words, names in (("not trained yet", found.untrained), ("not attacked yet", found.unattacked)):
        if names:
            print_line(console, f"{words}: {', '.join(names)}")
    print_line(console, f"not dominated: {', '.join(setting.name for setting in best)}")
    print_line(console, verdict(found))
    if advised is not None:
        print_line(console, f"recommended: {advised.name}, {describe(advised, found.view)}")
