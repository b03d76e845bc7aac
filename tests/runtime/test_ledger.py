"""The ledger of what clients wrote and sent."""

import time
from pathlib import Path

import pytest

from dkjax.runtime.ledger import Ledger, ledger_beside, read_ledger, recorded, timed


def test_events_are_kept_up_to_a_point(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for number in (1, 2):
        Ledger(path).write("sent", "plant-a", 10 * number, 0.25, 0.5, round=number)
    first, second = read_ledger(path)
    assert first.pop("time") <= second["time"] <= time.time() + 0.01
    assert first == {"event": "sent", "client": "plant-a", "round": 1, "bytes": 10, "seconds": 0.25, "cpu_seconds": 0.5}
    with open(path, "a") as file:
        file.write('{"event": "se')
    assert len(read_ledger(path)) == 2
    Ledger(path).write("sent", "plant-a", 30, 0.25, 0.5, round=3)  # a line of its own
    assert [event["bytes"] for event in read_ledger(path)] == [10, 20, 30]
    Ledger(path, keep=lambda event: event["round"] == 2)
    assert read_ledger(path) == [second]
    Ledger(None).write("written", "plant-a", 1, 0.0, 0.0)
    assert [one.name for one in tmp_path.iterdir()] == ["ledger.jsonl"]


def test_what_a_block_has_written(tmp_path: Path) -> None:
    folder, path = tmp_path / "run", tmp_path / "run.ledger.jsonl"
    with recorded(folder, ledger_beside(folder), "plant-a"):
        (folder / "deep").mkdir(parents=True)
        (folder / "old").write_bytes(bytes(5))
        (folder / "deep" / "first").write_bytes(bytes(7))
    with pytest.raises(KeyboardInterrupt), recorded(folder, ledger_beside(folder), "plant-a"):
        (folder / "deep" / "second").write_bytes(bytes(11))
        (folder / "old").unlink()
        raise KeyboardInterrupt
    with recorded(folder, ledger_beside(folder), "plant-a"):
        pass
    assert [(event["event"], event["client"], event["bytes"]) for event in read_ledger(path)] == [
        ("written", "plant-a", 12),
        ("written", "plant-a", 11),
    ]


def test_time_on_the_clock_and_of_the_processor() -> None:
    with timed() as took:
        time.sleep(0.05)
        sum(range(300_000))
    assert took.seconds > 0.05
    assert 0 < took.cpu_seconds < took.seconds + 0.05
