"""The figure of `dkjax cost`: bytes against rounds, and where they cross."""

from pathlib import Path

import numpy as np

from dkjax.errors import MissingPackageError
from dkjax.federated.cost import Line


def draw_bytes(lines: list[Line], rounds: int, path: Path) -> None:
    """Draw what a client sends and receives over the rounds; a circle marks where one raw upload has moved fewer bytes.

    Args:
        lines: from `dkjax.federated.cost.estimate`.
        rounds: for which they hold.
        path: the PNG to write.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingPackageError("a figure needs Matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    upload = lines[0]
    crossings = {line.name: line.break_even_round for line in lines if line.break_even_round is not None}
    drawn_rounds = np.geomspace(min(1.0, *crossings.values()), 1.3 * max(rounds, *crossings.values()), 200)
    figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    axis.axhline(upload.moved_bytes / 1e6, color="black", label=upload.name)
    federated = [line for line in lines if line.name in crossings]
    for number, line in enumerate(federated):
        colour, crossing = f"C{number}", crossings[line.name]
        axis.plot(drawn_rounds, line.moved_bytes / rounds * drawn_rounds / 1e6, color=colour, label=line.name)
        axis.plot(crossing, upload.moved_bytes / 1e6, "o", color=colour, markeredgecolor="black")
        axis.annotate(
            f"{crossing:,.3g}",
            (crossing, upload.moved_bytes / 1e6),
            textcoords="offset points",
            xytext=(5, -12 - 11 * (number % 3)),
            fontsize=8,
            color=colour,
        )
    axis.axvline(rounds, color="0.6", linestyle=":", linewidth=1, label="rounds of the configuration")
    axis.set(xscale="log", yscale="log", xlabel="rounds", ylabel="MB that a client sends and receives")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
