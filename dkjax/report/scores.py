"""Numbers of a report as text: shares with their intervals, and what an attack reached."""

import math
from collections.abc import Mapping
from typing import Any

_PRINCIPAL = {
    "looking": "ssim",
    "linking": "top1",
    "linking-uploads": "top1",
    "known-plaintext": "ssim",
    "many-rounds": "ssim_after",
    "template": "ssim",
    "thumbnail": "ssim_of_block_means",
    "puzzle": "neighbours_right",
    "inverter": "ssim_equivariant",
}
_MEASURES = {
    "ssim": "SSIM",
    "ssim_equivariant": "SSIM, equivariant reading",
    "ssim_values": "SSIM, reading values",
    "ssim_sorted": "SSIM, reading sorted values",
    "psnr": "PSNR in dB",
    "mutual_information": "mutual information in bits",
    "entropy": "entropy in bits",
    "adjacent_correlation": "correlation of neighbours",
    "ssim_of_block_means": "SSIM of the block means",
    "ssim_of_block_colours": "SSIM of the blocks' mean colours",
    "values_right": "values right",
    "blocks_in_place": "blocks in place",
    "changed_block_named": "changed block named",
    "neighbours_right": "neighbouring blocks right",
}


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of independent yes or no, by Wilson's score (1927).

    Args:
        share: between 0 and 1.
        count: of how many.

    Returns:
        Its lower and upper end.

    Guarantees:
        - the published example (`test_scores.py::test_wilson`).
    """
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(spread: Mapping[str, Any] | None, count: int) -> str:
    """An accuracy in percent, its interval in smaller print; of several runs also their standard deviation."""
    if spread is None:
        return "-"
    low, high = wilson(spread["mean"], count)
    several = f"±{100 * spread['std']:.1f} " if len(spread["runs"]) > 1 else ""
    return f"{100 * spread['mean']:.1f}\n{several}({100 * low:.1f} to {100 * high:.1f})"


def principal(attack: str, scores: Mapping[str, Any]) -> str:
    """Name the measure that says most of an attack: the last that begins as its own does, or else its first."""
    own = [name for name in scores if name.startswith(_PRINCIPAL.get(attack, "ssim"))]
    return own[-1] if own else next(iter(scores))


def interval(score: Mapping[str, Any]) -> str:
    """What an attack reached, its interval in smaller print."""
    return f"{number(score['mean'])}\n({number(score['low'])} to {number(score['high'])})"


def number(value: float | None) -> str:
    """A score to two decimals; small chances to three."""
    if value is None:
        return "-"
    return f"{value:.3f}" if 0 < abs(value) < 0.01 else f"{value:.2f}"


def measure(metric: str) -> str:
    """A measure in words, such as `SSIM after 8 rounds`."""
    if metric.startswith("top1_of_"):
        return f"the right one of {metric.removeprefix('top1_of_')}"
    if metric.startswith("ssim_after_"):
        return f"SSIM after {metric.removeprefix('ssim_after_')} rounds"
    return _MEASURES.get(metric, metric.replace("_", " "))
