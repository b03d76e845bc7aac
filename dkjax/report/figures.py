"""The figures of a simulation: what the server sees, and how accuracy grows."""

from pathlib import Path
from typing import Any

import numpy as np

_IMAGES_SHOWN = 4
# Seven and four have no common divisor: arms are told apart without their colours, 28 of them.
_MARKERS = "os^Dv*X"
_LINES = ("-", "--", "-.", ":")


def draw(results: dict[str, Any], workdir: Path) -> list[Path]:
    """Draw all figures of a run.

    Args:
        results: what `dkjax.experiment.simulation.simulate` returned for the folder.
        workdir: the run's folder; figures go to `figures/` in it.

    Returns:
        The files written; none if Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return []
    # A figure is a file here: no window, whatever the machine is set up for.
    matplotlib.use("agg")
    folder = workdir / "figures"
    folder.mkdir(exist_ok=True)
    drawn = [draw_accuracy(results, folder / "accuracy.png")]
    federated = [arm.get("federation") is not None for arm in results["arms"]]
    if not all(federated):
        drawn.insert(0, draw_what_the_server_sees(results, workdir, folder / "what_the_server_sees.png"))
    if any(federated):
        drawn += [
            draw_accuracy_for_bytes(results, folder / "accuracy_for_bytes.png"),
            draw_label_distribution(results, folder / "clients.png"),
        ]
    return drawn


def draw_what_the_server_sees(results: dict[str, Any], workdir: Path, path: Path) -> Path:
    """Draw plain images of the first client above what the server received of them in every arm.

    Args:
        results: as `draw`.
        workdir: as `draw`.
        path: the PNG to write.

    Returns:
        The path.
    """
    from matplotlib import pyplot as plt

    columns = []
    for arm in results["arms"]:
        if arm.get("federation") is not None:
            continue  # no image leaves a client
        with np.load(workdir / "arms" / arm["name"] / "run-0" / "seen.npz") as samples:
            plain, seen = samples["plain"][:_IMAGES_SHOWN], samples["seen"][:_IMAGES_SHOWN]
        if arm["scheme"] is not None:
            columns.append((_caption(arm), seen))
    columns.insert(0, ("plain image\n(stays with the client)", plain))
    side = 1.5
    figure, axes = plt.subplots(
        len(plain), len(columns), figsize=(side * len(columns), side * len(plain) + 0.5), squeeze=False
    )
    for column, (caption, images) in zip(axes.T, columns, strict=True):
        column[0].set_title(caption, fontsize=7.5)
        for number, (axis, image) in enumerate(zip(column, images, strict=True), 1):
            axis.set_axis_off()
            if axis is axes[number - 1, 0]:
                where = {"va": "center", "ha": "right", "rotation": 90, "transform": axis.transAxes}
                axis.text(-0.04, 0.5, f"image {number}", fontsize=7, **where)
            axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
    top = 1 - 0.5 / figure.get_figheight()
    figure.subplots_adjust(left=0.2 / figure.get_figwidth(), right=0.99, top=top, bottom=0.01, wspace=0.05, hspace=0.05)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def draw_accuracy(results: dict[str, Any], path: Path) -> Path:
    """Draw test accuracy over the epochs, a panel for each way of showing the test images, a line for each arm.

    Args:
        results: as `draw`.
        path: the PNG to write.

    Returns:
        The path.
    """
    from matplotlib import pyplot as plt

    titles = {"plain": "plain test images", "fresh_key": "under fresh keys", "same_key": "under the same key"}
    views = [view for view in titles if any(view in arm["test_accuracy"] for arm in results["arms"])]
    figure, grid = plt.subplots(
        1, len(views), figsize=(1.8 + 3.2 * len(views), 3.4), sharey=True, squeeze=False, layout="constrained"
    )
    axes = grid[0]
    for axis, view in zip(axes, views, strict=True):
        for number, arm in enumerate(results["arms"]):
            if view not in arm["test_accuracy"]:
                continue
            epochs = [point["epoch"] for point in arm["curves"][0]]
            runs = np.array([[point["test_accuracy"][view] for point in curve] for curve in arm["curves"]])
            look = {
                "color": f"C{number}",
                "marker": _MARKERS[number % len(_MARKERS)],
                "linestyle": _LINES[number % len(_LINES)],
            }
            axis.plot(epochs, runs.mean(0), markersize=4, linewidth=1.2, label=arm["name"], **look)
            if len(runs) > 1:
                axis.fill_between(epochs, runs.min(0), runs.max(0), color=f"C{number}", alpha=0.15, linewidth=0)
        chance = 1 / len(results["data"]["class_names"])
        axis.axhline(chance, color="0.6", linewidth=0.8, linestyle=":")
        axis.set(title=titles[view], xlabel="epoch", ylim=(0, 1.02), xlim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def draw_accuracy_for_bytes(results: dict[str, Any], path: Path) -> Path:
    """Draw accuracy on plain test images over rounds, and over what a client sends and receives.

    Args:
        results: as `draw`.
        path: the PNG to write.

    Returns:
        The path.
    """
    from matplotlib import pyplot as plt

    clients = len(results["data"]["clients"])
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=(9.4, 3.4), sharey=True, layout="constrained")
    for number, arm in enumerate(results["arms"]):
        accuracies = np.array([[point["test_accuracy"]["plain"] for point in curve] for curve in arm["curves"]]).mean(0)
        style = {"color": f"C{number}", "label": arm["name"]}
        if arm.get("federation") is None:
            by_round.axhline(accuracies[-1], linestyle="--", linewidth=1, **style)
            by_bytes.plot(arm["upload_bytes"] / clients / 1e6, accuracies[-1], marker="*", linestyle="", **style)
            continue
        points = arm["curves"][0]
        by_round.plot([point["round"] for point in points], accuracies, marker="o", markersize=3, **style)
        sent = [(point["up_bytes"] + point["down_bytes"]) / clients / 1e6 for point in points]
        if sent[-1]:
            by_bytes.plot(sent, accuracies, marker="o", markersize=3, **style)
    by_round.set(xlabel="round (dashed: one upload)", ylabel="accuracy on plain test images", ylim=(0, 1.02))
    by_round.xaxis.get_major_locator().set_params(integer=True)
    by_round.yaxis.set_major_formatter("{x:.0%}")
    by_bytes.set(xlabel="MB that a client sends and receives (star: one upload)", xscale="log")
    for axis in (by_round, by_bytes):
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = by_round.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def draw_label_distribution(results: dict[str, Any], path: Path) -> Path:
    """Draw how many images of each class every client holds, a bar for each client.

    Args:
        results: as `draw`.
        path: the PNG to write.

    Returns:
        The path.
    """
    from matplotlib import pyplot as plt

    clients, names = results["data"]["clients"], results["data"]["class_names"]
    counts = np.array([client["images_per_class"] for client in clients])
    figure, axis = plt.subplots(figsize=(6.4, 1.2 + 0.22 * len(clients)), layout="constrained")
    colours = plt.get_cmap("tab20" if len(names) > 10 else "tab10")
    left = np.zeros(len(clients), int)
    for label, name in enumerate(names):
        axis.barh(range(len(clients)), counts[:, label], left=left, color=colours(label % 20), label=name)
        left += counts[:, label]
    axis.set(yticks=range(len(clients)), yticklabels=[client["name"] for client in clients], xlabel="images")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    if len(names) <= 20:
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _caption(arm: dict[str, Any]) -> str:
    ssim = "" if arm["ssim"] is None else f"\nSSIM {arm['ssim']:.2f}"
    return f"{arm['name']}{ssim}"
