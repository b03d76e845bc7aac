"""The server's tables: names as they are, and a class without images."""

import pytest

from dkjax.report import server_run as served

DATA_SET = {"id": "1", "keys": "disposable", "scheme": "etc", "parameters": {"block_size": 8}, "key_sharing": "shared"}
RESULTS = {
    "data": {"train_images": 1234, "image_shape": [32, 48, 3]},
    "train": {"steps": 5678, "loss": 1.0, "accuracy": 0.987},
    "seconds": 12.3,
    "clients": [
        {"name": "plant-a", "images": 1234, "upload_bytes": 5_678_900, "data_sets": [DATA_SET, {**DATA_SET, "id": "2"}]}
    ],
    "test_sets": [{"name": "[red]odd[/red].dkds", "images": 40}],
    "test_accuracy": {"[red]odd[/red].dkds": 0.725},
}


def lines_of(capsys: pytest.CaptureFixture) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_training(capsys: pytest.CaptureFixture) -> None:
    served.print_training(RESULTS)
    lines = lines_of(capsys)
    assert lines[0] == "1,234 images of 1 client, 32 x 48 x 3; 5,678 steps in 12 s; accuracy on training batches 98.7%"
    assert "plant-a 1,234 5.7 etc block_size=8, disposable keys" in lines
    assert lines[-1] == "[red]odd[/red].dkds 40 72.5%"


def test_training_without_tests(capsys: pytest.CaptureFixture) -> None:
    served.print_training({**RESULTS, "test_sets": [], "test_accuracy": {}})
    assert "test set" not in capsys.readouterr().out


def test_accuracy(capsys: pytest.CaptureFixture) -> None:
    classes = [
        {"name": "[b]cat", "images": 30, "accuracy": 0.5},
        {"name": "dog", "images": 0, "accuracy": None},
    ]
    served.print_accuracy({"test_sets": [{"name": "x", "images": 30, "accuracy": 0.5, "classes": classes}]})
    lines = lines_of(capsys)
    assert lines[0] == "x: 50.0% of 30 images"
    assert lines[-2:] == ["[b]cat 30 50.0%", "dog 0 -"]
