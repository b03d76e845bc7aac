"""The table of a simulation: what the protection costs in accuracy, and what the server sees."""

from typing import Any

from dkjax.report import console as tables

_VIEWS = {"plain": "plain test (%)", "fresh_key": "fresh-key test (%)", "same_key": "same-key test (%)"}
_HEADINGS = ("arm", "fixed blocks", "fixed pixels", "key for each", *_VIEWS.values(), "SSIM", "upload (MB)", "time (s)")
_DOWNLOAD = "download (MB)"
_LEFT_OUT_FIRST = ("time (s)", _DOWNLOAD, "upload (MB)", "key for each", "fixed pixels", "fixed blocks")
_KEY_FOR = {"none": "-", "per_image": "image", "per_client": "client", "shared": "(one)"}


def rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Lay the arms out as text.

    Args:
        results: what `dkjax.experiment.simulation.simulate` returns.

    Returns:
        The headings, and a row for each arm: its fixed positions of all, if its scheme has such, whose images share a
        key, test accuracy in percent (with the standard deviation over several runs), mean SSIM of plain and uploaded
        images, bytes all clients upload and, where they do, download, seconds of a run.
    """
    height, width, channels = results["data"]["image_shape"]
    block_size = results["config"]["scheme"]["block_size"]
    num_blocks, block_values = (height // block_size) * (width // block_size), block_size**2 * channels
    downloads = any(arm.get("download_bytes") for arm in results["arms"])
    table: list[tuple[str, ...]] = [(*_HEADINGS[:-1], *([_DOWNLOAD] if downloads else ()), _HEADINGS[-1])]
    for arm in results["arms"]:
        table.append(
            (
                arm["name"],
                _share(arm["fixed_blocks"], num_blocks),
                _share(arm["fixed_pixels"], block_values),
                _KEY_FOR[arm["keys"]],
                *(_accuracy(arm["test_accuracy"].get(view)) for view in _VIEWS),
                "-" if arm["ssim"] is None else f"{arm['ssim']:.2f}",
                f"{arm['upload_bytes'] / 1e6:.1f}",
                *([f"{arm['download_bytes'] / 1e6:.1f}"] if downloads else ()),
                f"{arm['seconds']:.0f}",
            )
        )
    return table


def as_markdown(results: dict[str, Any]) -> str:
    """Render the table as Markdown."""
    headings, *body = rows(results)
    lines = [headings, ("---",) + ("---:",) * (len(headings) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def print_table(results: dict[str, Any]) -> None:
    """Print the table and what to keep in mind about it on stdout.

    On a terminal too narrow for all of it, columns that are not accuracy are left out rather than numbers cut.
    """
    console = tables.results_console()
    data, runs = results["data"], results["config"]["train"]["runs"]
    tables.print_line(
        console,
        f"{data['train_images']:,} training images of {len(data['clients'])} clients, "
        f"{data['test_images']:,} test images, {runs} run{'s' if runs > 1 else ''} of each arm",
    )
    headings, *body = rows(results)
    stacked = {heading: heading.replace(" ", "\n").replace("-", "-\n") for heading in headings}
    dispensable = [heading for heading in _LEFT_OUT_FIRST if heading in stacked]
    left_out = tables.print_table(
        console, tuple(stacked.values()), body, left_out_first=[stacked[heading] for heading in dispensable]
    )
    names = ", ".join(heading for heading in dispensable if stacked[heading] in left_out)
    missing = f" Left out for want of width: {names}; see table.md." if names else ""
    tables.print_line(
        console,
        "Accuracy on plain test images, on test images under fresh keys, and under the training images' own key. SSIM: "
        f"how much the upload looks like the plain image (1: the same); attacks see more than the eye.{missing}",
        style="dim",
    )


def _share(fixed: int | None, total: int) -> str:
    return "-" if fixed is None else f"{fixed}/{total}"


def _accuracy(spread: dict[str, Any] | None) -> str:
    if spread is None:
        return "-"
    text = f"{100 * spread['mean']:.1f}"
    return f"{text}±{100 * spread['std']:.1f}" if len(spread["runs"]) > 1 else text
