"""The measurements as tables for people, on stdout."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dkjax.report.console import print_line, print_table, results_console

if TYPE_CHECKING:
    from rich.console import Console

Tables = Iterable[tuple[str, Sequence[str], Sequence[Sequence[str]]]]

_SHARES = ("of\ndevice\ncopy", "of\nhost\ncopy")
TIMES = ("median\nms", "fastest\nms", "first\ncall s")
"""The headings of what `times` returns."""

_KERNELS = {"native": "the native kernel", "xla": "XLA's own kernels; `dkjax doctor` says why not the native one"}
_CPU_TIME = "CPU us\nan image"
_LEFT_OUT_FIRST = (TIMES[2], _SHARES[1], TIMES[1], _SHARES[0], TIMES[0], _CPU_TIME)


def print_encryption(result: dict[str, Any]) -> None:
    """Print what `measure_encryption` returned."""
    from dkjax.bench.encryption import Case

    console = results_console()
    print_line(console, _machine(result))
    print_line(console, f"On a CPU, chacha20 keys: {_KERNELS[result['kernel']]}.")
    for case in result["cases"]:
        rows = [
            (
                row["name"],
                _number(row["images_per_second"]),
                f"{row['gigabytes_per_second']:.2f}",
                _number(row["cpu_microseconds_an_image"]),
                f"{row['share_of_device_copy']:.0%}",
                f"{row['share_of_host_copy']:.0%}",
                *times(row),
            )
            for row in case["contenders"]
        ]
        title = str(Case(case["size"], case["batch"], case["dtype"], case["keys"]))
        headings = ("images/s", "GB/s", _CPU_TIME, *_SHARES, *TIMES)
        _print_table(console, title, headings, rows)
    growth = result["growth"]
    if growth:
        by_batch = [
            (
                f"{row['batch']} images",
                _number(row["images_per_second"]),
                f"{1e6 * row['median_seconds'] / row['batch']:.0f}",
                *times(row),
            )
            for row in growth["rows"]
        ]
        title = f"dkjax, chacha20, {growth['size']} px, {growth['dtype']}: time grows as batch^{growth['exponent']:.2f}"
        _print_table(console, title, ("images/s", "us an\nimage", *TIMES), by_batch)


def print_step(result: dict[str, Any]) -> None:
    """Print what `measure_step` returned."""
    console = results_console()
    print_line(console, _machine(result))
    for case in result["cases"]:
        headings, rows = ["images/s", *TIMES], []
        peak_known = any(row["of_peak"] is not None for row in case["rows"])
        if peak_known:
            headings.insert(1, "of\npeak")
        for row in case["rows"]:
            of_peak = "" if row["of_peak"] is None else f"{row['of_peak']:.0%}"
            numbers = (f"{row['images_per_second']:,.1f}", *([of_peak] if peak_known else []), *times(row))
            rows.append((row["name"], *numbers))
        title = f"ViT-{result['variant']}, {result['dtype']}, {result['size']} px, {case['batch']} images a step"
        _print_table(console, title, headings, rows)
        print_line(
            console,
            f"Encryption is {case['share_by_difference']:.1%} of the plain step by the difference of the two steps, "
            f"{case['share_alone']:.1%} by itself.",
        )
    if result["times_timm"] is not None:
        print_line(
            console,
            f"The plain step does {result['times_timm']:.2f} times the images of timm's in a second, "
            "each at its fastest of the above.",
        )


def print_tables(result: dict[str, Any], tables: Tables) -> None:
    """Print a line about the machine of a result, and tables, each given by title, headings and rows."""
    console = results_console()
    print_line(console, _machine(result))
    for title, headings, rows in tables:
        _print_table(console, title, headings, rows)


def times(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return the cells below `TIMES` of a contender."""
    return (
        f"{1e3 * row['median_seconds']:,.2f}",
        f"{1e3 * row['fastest_seconds']:,.2f}",
        f"{row['first_call_seconds']:.2f}",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _machine(result: dict[str, Any]) -> str:
    device, versions = result["device"], result["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("dkjax", "jax", "numpy", "torch") if name in versions)
    return f"{device['kind']} ({device['platform']}), {result['cpu_cores']} CPU cores, {named}"


def _print_table(console: "Console", title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_line(console, title)
    print_table(console, ("", *headings), rows, left_out_first=_LEFT_OUT_FIRST, min_width=26)
