"""Metrics: JSON lines that can be read while they are written."""

import dataclasses
import json
from pathlib import Path

from dkjax.train.metrics import MetricsLog, Progress


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_readable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    progress = Progress(step=3, total_steps=9, loss=0.5, accuracy=0.25, learning_rate=1e-3, images_per_second=10.0)
    with MetricsLog(path) as log:
        assert lines(path) == []
        log.write(**dataclasses.asdict(progress))
        assert lines(path) == [dataclasses.asdict(progress)]
        log.write(step=4, test_accuracy={"plain": 0.5})
        assert Progress(**lines(path)[0]) == progress
        assert lines(path)[1] == {"step": 4, "test_accuracy": {"plain": 0.5}}


def test_a_new_log_begins_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"ste')
    with MetricsLog(path) as log:
        log.write(step=1)
    assert lines(path) == [{"step": 1}]
