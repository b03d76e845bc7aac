"""Metrics: JSON lines that can be read while they are written."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from dkjax.errors import MissingPackageError
from dkjax.runtime.install import how_to_install
from dkjax.train.metrics import MEASURED, MetricsLog, Progress

PROGRESS = Progress(
    step=3,
    total_steps=9,
    loss=0.5,
    accuracy=0.25,
    learning_rate=1e-3,
    images_per_second=10.0,
    input_wait=0.02,
    model_flops_utilisation=None,
    device_memory_bytes=None,
    host_memory_bytes=1 << 30,
)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_readable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        assert lines(path) == []
        log.write(3, dataclasses.asdict(PROGRESS))
        assert lines(path) == [dataclasses.asdict(PROGRESS)]
        log.write(4, {"test_accuracy": {"plain": 0.5}})
        assert Progress(**lines(path)[0]) == PROGRESS
        assert lines(path)[1] == {"step": 4, "test_accuracy": {"plain": 0.5}}


def test_a_new_log_begins_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"ste')
    with MetricsLog(path) as log:
        log.write(1, {})
    assert lines(path) == [{"step": 1}]


def test_what_is_measured_is_what_differs_from_run_to_run() -> None:
    assert set(MEASURED) < {field.name for field in dataclasses.fields(Progress)}


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show: the values of each tag by step, the last of several."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.HasField("session_log"):
                for values in found.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return {tag: sorted(values.items()) for tag, values in found.items()}


def test_events_of_tensorboard(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl", events=tmp_path / "events") as log:
        log.write(3, dataclasses.asdict(PROGRESS))
        log.write(4, {"test_accuracy": {"plain": 0.5, "fresh_key": 0.25}})
        kept = log.num_bytes
        log.write(6, {"loss": 99.0})
    with MetricsLog(tmp_path / "metrics.jsonl", kept, events=tmp_path / "events", first_step=5) as log:
        log.write(6, {"loss": 0.25})
    found = events(tmp_path / "events")
    assert found["loss"] == [(3, 0.5), (6, 0.25)]
    assert found["test_accuracy/plain"] == [(4, 0.5)]
    assert found["test_accuracy/fresh_key"] == [(4, 0.25)]
    assert "model_flops_utilisation" not in found
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [3, 4, 6]


def test_processes_that_write_nothing(tmp_path: Path) -> None:
    with MetricsLog(None, 100, events=tmp_path / "events") as log:
        log.write(1, {"loss": 1.0})
        assert log.num_bytes == 0
    assert list(tmp_path.iterdir()) == []


def test_events_need_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingPackageError, match=re.escape(how_to_install("tensorboard"))):
        MetricsLog(tmp_path / "metrics.jsonl", events=tmp_path / "events")
