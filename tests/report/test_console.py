"""What is printed for people: nothing that a terminal obeys, and no number cut."""

import io
import unicodedata

import pytest
from rich.console import Console

from dkjax.report.console import print_line, print_table, results_console, say, show, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scratch", "scratch"),
        ("Kratzer ä 傷 ç 🙂", "Kratzer ä 傷 ç 🙂"),
        ("a\x1b]0;mine\x07b", "a\\x1b]0;mine\\x07b"),
        ("two\nlines\r\t\x00\x7f\x9b", "two\\nlines\\r\\t\\x00\\x7f\\x9b"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\u2066a\u2069\u200f\u061c", "\\u2066a\\u2069\\u200f\\u061c"),
        ("no\u200bwidth\ufeff\u200d\u2060\u00ad", "no\\u200bwidth\\ufeff\\u200d\\u2060\\xad"),
        (
            "fill\u3164er\u115f\uffa0\u2800\u034f\ufe0f\U000e0100",
            "fill\\u3164er\\u115f\\uffa0\\u2800\\u034f\\ufe0f\\U000e0100",
        ),
        ("no\xa0break\u2028\u3000", "no\\xa0break\\u2028\\u3000"),
        ("latin \udce9.png \ud800", "latin \\xe9.png \\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_everything_is_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert shown.isprintable()


def test_no_character_is_obeyed() -> None:
    """Of all characters, those that Unicode calls control, format, surrogate or line end are replaced."""
    obeyed = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
    assert len(obeyed) > 2000
    assert visible("".join(obeyed)).isascii()
    visible("".join(obeyed)).encode()


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J")
    show("b\u202e")
    show()
    assert capsys.readouterr() == ("b\\u202e\n\n", "a\\x1b[2J\n")


def test_results_into_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    where = results_console()
    print_line(where, "[bold]as it is[/] :smile: \x1b " + "x" * 100)
    print_table(where, ("name", "images"), [("n" * 70 + "\x1b[2J", "1,234,567")], left_out_first=("images",))
    text = capsys.readouterr().out
    assert "[bold]as it is[/] :smile: \\x1b " + "x" * 100 in text
    assert "n" * 70 + "\\x1b[2J" in text
    assert "1,234,567" in text
    assert "\x1b[2J" not in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROWS = [("a" * 30, "1,234,567", "12.5%", "9,999.99"), ("b\x1b", "1", "2", "3")]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(26, ["time", "share"]), (44, ["time", "share"]), (52, ["time"]), (66, []), (200, [])],
)
def test_narrow_terminals_lose_columns_and_no_digits(width: int, left_out: list[str]) -> None:
    where = Console(file=Terminal(), width=width, highlight=False, markup=False, emoji=False, color_system=None)
    headings = ("name", "images/s", "share", "time")
    assert print_table(where, headings, ROWS, left_out_first=("time", "share")) == left_out
    text = where.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text and "1,234,567" in text and "b\\x1b" in text
    assert ("9,999.99" in text) == ("time" not in left_out)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("a") >= 30  # a long name is folded


def test_text_columns_are_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "1", "some text"), ("b", "22", "x")]
    print_table(results_console(), ("name", "count", "more"), rows, text_columns=("name", "more"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert " a         1  some text" in lines
    assert " b        22  x" in lines
