"""What people read on a terminal, a pipe or in a log: text from outside made visible, lines, and tables."""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Letters, marks and signs that count as printable and show nothing, or only change what stands before them.
_INVISIBLE = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, (0xFFA0, *range(0xE0100, 0xE01F0))))

_NO_EDGE = 10_000
"""The width of a pipe or a file."""


def visible(text: object) -> str:
    r"""Replace every character that a terminal would obey or not show by its escape sequence in Python.

    Names of files, clients, classes and tensors are chosen by others. A control character in one could rewrite what
    stands on the screen, a bidirectional or zero-width one make two names look alike.

    Args:
        text: one line.

    Returns:
        The text without control characters, line ends, bidirectional and zero-width characters, and spaces other than
        the usual one. A byte of a file name that is not UTF-8 is shown as `\xe9`.

    Guarantees:
        - what is returned is printable, and shown the same again (`test_console.py::test_everything_is_visible`).

    Example:
        >>> visible("a\x1b[2J\u202eb\udce9 ç.png")
        'a\\x1b[2J\\u202eb\\xe9 ç.png'
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() and letter not in _INVISIBLE else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def say(text: object) -> None:
    """Print one line of talk on stderr."""
    print(visible(text), file=sys.stderr, flush=True)


def show(text: object = "") -> None:
    """Print one line of a command's result on stdout."""
    print(visible(text))


def results_console() -> "Console":
    """Return a console for results, on stdout; a pipe or a file has no edge to fit."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    # FORCE_COLOR lets Rich take a pipe for a terminal.
    if not console.file.isatty():
        console.width = _NO_EDGE
    return console


def print_line(console: "Console", text: str, style: str | None = None) -> None:
    """Print one line; a terminal breaks it where it ends."""
    console.print(visible(text), style=style, soft_wrap=True)


def print_table(
    console: "Console",
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: Collection[str] | None = None,
    left_out_first: Sequence[str] = (),
    min_width: int = 0,
) -> list[str]:
    """Print a table: text on the left, numbers on the right.

    Where the terminal is too narrow, columns are left out, and then text is folded; a number is never cut.

    Args:
        console: from `results_console`.
        headings: of the columns; with line ends where they are to be stacked.
        rows: the cells.
        text_columns: the headings of the columns that hold text; the first one by default.
        left_out_first: the headings of columns that may be left out, in this order.
        min_width: of the first column.

    Returns:
        The headings of the columns that were left out.

    Guarantees:
        - no number is cut (`test_console.py::test_narrow_terminals_lose_columns_and_no_digits`).
    """
    rows = [tuple(map(visible, row)) for row in rows]
    text = headings[:1] if text_columns is None else text_columns
    left_out: list[str] = []
    for heading in left_out_first:
        if _width(console, _table(headings, rows, text, left_out, min_width)) <= console.width:
            break
        if heading in headings:
            left_out.append(heading)
    console.print(_table(headings, rows, text, left_out, min_width))
    return left_out


def _width(console: "Console", table: "Table") -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(width=_NO_EDGE), table).maximum


def _table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: Collection[str],
    left_out: Collection[str],
    min_width: int,
) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [number for number, heading in enumerate(headings) if heading not in left_out]
    for number in shown:
        if headings[number] in text:
            table.add_column(headings[number], overflow="fold", min_width=0 if number else min_width)
        else:
            table.add_column(headings[number], justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table
