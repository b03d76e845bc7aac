"""Progress: a bar that fits where there is a terminal, a line now and then where there is none."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from small_data_sets import write_small
from typer.testing import CliRunner

from dkjax.cli import progress
from dkjax.cli.main import app
from dkjax.cli.observer import TerminalObserver, TrainingObserver
from dkjax.cli.progress import Activity, EncryptionProgress
from dkjax.client.data_set import Progress as EncryptionStand
from dkjax.sources import Skipped
from dkjax.train.metrics import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(width: int, *, terminal: bool = True) -> Console:
    file = Terminal() if terminal else io.StringIO()
    return Console(file=file, width=width, force_terminal=True, legacy_windows=False)


def text_of(where: Console) -> str:
    return where.file.getvalue()  # type: ignore[attr-defined]


def frames(where: Console) -> list[str]:
    """Everything that was drawn, without colours and movements of the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text_of(where))
    return [line for line in re.split(r"[\r\n]", plain) if line.strip()]


def stand(step: int, total: int = 1200) -> Progress:
    return Progress(step, total, 0.12345, 0.5, 0.1, 12_345.6, 0.0, None, None, 1 << 30)


def train(activity: Activity, steps: range, arm: str = "disposable-75-75") -> None:
    with TerminalObserver(activity) as observer:
        observer.run_started(arm, 1, 3, 1200)
        for step in steps:
            observer.training(stand(step))
            activity._bar.refresh()
        observer.run_finished(arm, 1, {"plain": 0.5})


@pytest.mark.parametrize(
    ("width", "shown", "hidden"),
    [
        (60, ["1,200/1,200"], ["accuracy 50.0%", "images/s"]),
        (80, ["1,200/1,200  loss 0.123"], ["images/s"]),
        (200, ["1,200/1,200  loss 0.123  accuracy 50.0%  12,346 images/s"], []),
    ],
)
def test_a_bar_fits_its_terminal(width: int, shown: list[str], hidden: list[str]) -> None:
    where = console(width)
    train(Activity(where), range(1190, 1201))
    bars = [line for line in frames(where) if "disposable-75-75 1/3" in line and "test images" not in line]
    assert bars and max(map(len, bars)) <= width
    assert all(text in bars[-1] for text in shown), bars[-1]
    assert not [text for text in hidden for line in bars if text in line]
    assert "…" not in "".join(bars)
    assert text_of(where).count("\x1b[?25h") == 1  # the cursor is back
    assert "disposable-75-75 run 1: 50.0% on plain test images" in frames(where)[-1]


def test_a_long_name_leaves_room() -> None:
    where = console(60)
    train(Activity(where), range(1200, 1201), "disposable-" + "x" * 53)
    bars = [line for line in frames(where) if "1,200/1,200" in line]
    assert bars and max(map(len, bars)) <= 60


def test_a_log_gets_a_line_now_and_then() -> None:
    where = console(80, terminal=False)  # FORCE_COLOR makes a terminal of it for Rich
    train(Activity(where, every=0), range(400, 1201, 400))
    lines = text_of(where).splitlines()
    expected = [
        f"disposable-75-75 1/3: {step:,}/1,200, loss 0.123, accuracy 50.0%, 12,346 images/s; 0 s"
        for step in (400, 800, 1200, 1200)
    ]
    assert lines[:-1] == expected
    assert lines[-1].startswith("disposable-75-75 run 1: 50.0% on plain")


def test_what_is_quick_says_nothing_in_a_log() -> None:
    where = console(80, terminal=False)
    train(Activity(where), range(400, 1201, 400))
    assert len(text_of(where).splitlines()) == 1


def test_dumb_terminals_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    where = console(80)
    train(Activity(where, every=0), range(1200, 1201))
    assert "\x1b" not in text_of(where)
    assert text_of(where).count("1,200/1,200") == 2


class Source:
    def __init__(self) -> None:
        self.skipped = [Skipped("a\x1b[2J.png", "not an image\u202e"), Skipped("[bold]b[/]", "x")]


@pytest.mark.parametrize("terminal", [False, True])
def test_encryption(terminal: bool) -> None:
    where = console(100, terminal=terminal)
    with EncryptionProgress(Source(), Activity(where, every=0)) as shown_to:  # type: ignore[arg-type]
        shown_to.update(EncryptionStand(10, 40, 10))
        shown_to.update(EncryptionStand(40, 40, 10))
        shown_to._activity._bar.refresh()
    shown = frames(where)
    assert "going on: 10 of 40 images were finished before" in shown
    assert "skipped a\\x1b[2J.png: not an image\\u202e" in shown
    assert "skipped [bold]b[/]: x" in shown
    assert "\x1b[2J" not in text_of(where)
    assert [line for line in shown if line.startswith("encrypting") and "40/40" in line]
    assert (shown_to.done, shown_to.kept) == (40, 10)
    assert shown_to.images_per_second > 0


def test_a_training_is_checked_first() -> None:
    where = console(100, terminal=False)
    with TrainingObserver(Activity(where, every=0)) as observer:
        observer.verifying(5_000_000, 10_000_000)
        observer.verifying(10_000_000, 10_000_000)
        observer.run_started("training", 1, 1, 12)
        observer.training(stand(12, 12))
        observer.run_finished("training", 1, {"a\x07.dkds": 0.25})
    lines = [re.sub(r"[\d,]+ MB/s", "N MB/s", line) for line in text_of(where).splitlines()]
    assert lines[:2] == ["checking: 5/10 MB, N MB/s; 0 s", "checking: 10/10 MB, N MB/s; 0 s"]
    assert lines[-1] == "training: 0 s, 25.0% on a\\x07.dkds"


@pytest.mark.parametrize(("unit", "shown"), [("records", "30/40 records"), ("bytes", "0/0 MB")])
def test_counting(unit: str, shown: str) -> None:
    where = console(100, terminal=False)
    with Activity(where, every=0) as activity:
        activity.counting("converting [a]\x1b", unit)(30, 40)
    assert text_of(where).startswith(f"converting [a]\\x1b: {shown}")


def test_a_command_in_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    write_small(tmp_path / "a.dkds")
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "a.dkds")])
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) >= 2  # on the way, and at the end
    assert all(re.fullmatch(r"checking a\.dkds: 0/0 MB, [\d,]+ MB/s; 0 s", line) for line in lines)
