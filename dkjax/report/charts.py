"""The charts of a report, as SVG that needs nothing else."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dkjax.errors import MissingPackageError
from dkjax.runtime.install import how_to_install

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {
    "plain": "plain test images",
    "fresh_key": "test images under fresh keys",
    "same_key": "test images under the training images' key",
}
"""How test images are shown, in words."""

_SIZE = (4.2, 3.0)


def accuracy_chart(arms: Sequence[Mapping[str, Any]], view: str, chance: float) -> str:
    """Draw test accuracy over the epochs.

    Args:
        arms: of `results.json`; those without this view are left out, and keep their colour for other charts.
        view: how the test images were shown.
        chance: the accuracy of guessing.

    Returns:
        The SVG: a line for each arm, the range of its runs around it.
    """
    figure, axis = _figure(sum(view in arm["test_accuracy"] for arm in arms))
    for number, arm in enumerate(arms):
        if view not in arm["test_accuracy"]:
            continue
        epochs = [point["epoch"] for point in arm["curves"][0]]
        runs = np.array([[point["test_accuracy"][view] for point in curve] for curve in arm["curves"]])
        axis.plot(epochs, runs.mean(0), marker="o", markersize=3, color=_colour(number), label=arm["name"])
        if len(runs) > 1:
            axis.fill_between(epochs, runs.min(0), runs.max(0), color=_colour(number), alpha=0.15, linewidth=0)
    axis.axhline(chance, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02), xlim=(0, None))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.yaxis.set_major_formatter("{x:.0%}")
    return _svg(figure)


def _colour(number: int) -> str:
    return f"C{number % 10}"


def _figure(entries: int) -> "tuple[Figure, Any]":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError(f"a report needs Matplotlib: {how_to_install('report')}") from None
    width, height = _SIZE
    figure = Figure(figsize=(width, height + 0.18 * -(-entries // 2)), layout="constrained")
    axis = figure.add_subplot()
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    return figure, axis


def _svg(figure: "Figure") -> str:
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return as_svg(figure)


def as_svg(figure: "Figure") -> str:
    """Save a figure as SVG that can stand in a page."""
    import matplotlib

    # Text stays text, which the reader's own font shows; the same results give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dkjax", "font.family": "sans-serif"}):
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
