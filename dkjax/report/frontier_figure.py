"""The figure of the frontier: a panel for each way of showing test images, and by name what no setting beats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dkjax.errors import MissingPackageError
from dkjax.report.charts import VIEWS
from dkjax.report.frontier import Frontier, Setting
from dkjax.runtime.install import how_to_install

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_LOOKS = {
    "common": ("a key for each image, one order of values", "o", "#0072B2", True),
    "other": ("a key for each image, other schemes", "s", "#D55E00", True),
    "shared": ("many images share a key (at the edge: or less accurate)", "D", "#595959", False),
}
"""In words, the marker, the colour (Okabe and Ito's, which the colour-blind tell apart) and whether it is filled."""

_PLACES = [(side, lines) for lines in sorted(range(-6, 7), key=lambda lines: (abs(lines), -lines)) for side in (1, -1)]
"""Where a name is tried beside its marker: the side, and how many half lines higher."""

_LEADER = {"arrowstyle": "-", "linewidth": 0.6, "color": "0.5", "shrinkA": 0, "shrinkB": 3}


def draw_frontier(panels: Sequence[Frontier]) -> "Figure":
    """Draw accuracy against what came back.

    Names are those of settings that are not dominated; a line joins them. The prefix `disposable-` is left out.

    Args:
        panels: the same arms by different views, one below the other.

    Returns:
        The figure, to be saved as PNG or SVG.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError(f"a figure needs Matplotlib: {how_to_install('report')}") from None
    figure = Figure(figsize=(5.2, 0.9 + 3.5 * len(panels)), layout="constrained", dpi=160)
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel)
    axes[-1].set_xlabel("SSIM of what the strongest attack got back (1: the whole picture)")
    seen = {handle[1]: handle[0] for axis in axes for handle in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(seen.values(), seen.keys(), loc="outside lower left", frameon=False, fontsize=9)
    # Room for names is known once everything else has its place.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis, panel in zip(axes, panels, strict=True):
        _name(axis, panel)
    return figure


def _draw_panel(axis: "Axes", panel: Frontier) -> None:
    for group, (words, marker, colour, filled) in _LOOKS.items():
        members = [setting for setting in panel.settings if setting.group == group]
        if members:
            axis.plot(
                *zip(*(_drawn(setting, panel) for setting in members), strict=True),
                marker,
                color=colour,
                markerfacecolor=colour if filled else "white",
                markersize=6,
                label=words,
                zorder=3,
            )
    axis.plot(*zip(*(_point(setting, panel) for setting in panel.best), strict=True), color="0.6", linewidth=1)
    if panel.plain is not None:
        axis.axhline(panel.plain, color="0.3", linewidth=1, linestyle="--", label="training on plain images")
    if panel.chance is not None:
        axis.axvline(panel.chance, color="0.3", linewidth=1, linestyle=":", label="a mean image, without any attack")
    axis.set_title(VIEWS.get(panel.view, panel.view), fontsize=10, loc="left")
    axis.set_ylabel("accuracy")
    axis.set_xlim(min(0, *(setting.ssim for setting in panel.settings)) - 0.03, 1.03)
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.margins(y=0.12)
    axis.spines[["top", "right"]].set_visible(False)


def _point(setting: Setting, panel: Frontier) -> tuple[float, float]:
    return setting.ssim, setting.accuracy[panel.view]


def _drawn(setting: Setting, panel: Frontier) -> tuple[float, float]:
    """Where a marker is: that of a shared key at the lower edge, where the competing settings end, if it is below."""
    ssim, accuracy = _point(setting, panel)
    reached = [other.accuracy[panel.view] for other in panel.competing]
    if not reached:
        return ssim, accuracy
    edge = min(reached) - 0.12 * (max(*reached, panel.plain or 0.0) - min(reached))
    return ssim, max(accuracy, edge)


def _name(axis: "Axes", panel: Frontier) -> None:
    """Put each name where it covers no marker and no other name, or else where it covers fewest."""
    from matplotlib.text import Text

    dots = [axis.transData.transform(_drawn(setting, panel)) for setting in panel.settings]
    taken: list[Any] = []
    for setting in panel.best:
        tried: list[tuple[int, int, Annotation, Any]] = []
        for side, lines in _PLACES:
            text = axis.annotate(
                setting.name.removeprefix("disposable-"),
                _point(setting, panel),
                (7 * side, 6 * lines),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=9,
                # Above lines, below markers.
                zorder=2.5,
                arrowprops=_LEADER if abs(lines) > 1 else None,
                bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.5},
            )
            text.get_window_extent()  # puts it in its place
            box = Text.get_window_extent(text)  # without the leader
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 and axis.bbox.y0 <= box.y0
            covered = sum(box.contains(*dot) for dot in dots) + 2 * sum(box.overlaps(other) for other in taken)
            tried.append((covered + (0 if inside else 100), len(tried), text, box))
        kept = min(tried, key=lambda one: one[:2])
        for one in tried:
            if one is not kept:
                one[2].remove()
        taken.append(kept[3])
