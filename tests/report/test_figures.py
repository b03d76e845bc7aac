"""The figures of a simulation: PNGs that show something."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dkjax.report.figures import draw

VIEWS = {"plain": ["plain"], "disposable": ["plain", "fresh_key"], "shared_key": ["plain", "fresh_key", "same_key"]}


def make(
    workdir: Path, *, channels: int = 1, runs: int = 1, arms: tuple[str, ...] = tuple(VIEWS), images: int = 6
) -> dict:
    """What `simulate` leaves, made up."""
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 256, (images, 16, 16, channels), dtype=np.uint8)
    summaries: list[dict[str, Any]] = []
    for name in arms:
        folder = workdir / "arms" / name / "run-0"
        folder.mkdir(parents=True)
        seen = plain if name == "plain" else rng.permuted(plain.reshape(images, -1), axis=1).reshape(plain.shape)
        np.savez(folder / "seen.npz", plain=plain, seen=seen)
        curves = [
            [{"epoch": epoch, "test_accuracy": dict.fromkeys(VIEWS[name], rng.random())} for epoch in (1.0, 2.5, 4.0)]
            for _ in range(runs)
        ]
        summaries.append(
            {
                "name": name,
                "scheme": None if name == "plain" else "disposable",
                "ssim": None if name == "shared_key" else 0.5,
                "test_accuracy": dict.fromkeys(VIEWS[name]),
                "curves": curves,
            }
        )
    return {"arms": summaries, "data": {"class_names": ["a", "b"]}}


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"channels": 3, "runs": 2},
        {"arms": ("plain",)},
        {"arms": ("disposable",), "images": 1},
    ],
    ids=["grey", "rgb", "plain", "one image"],
)
def test_figures_are_drawn(case: dict, tmp_path: Path) -> None:
    paths = draw(make(tmp_path, **case), tmp_path)
    assert paths == [tmp_path / "figures" / name for name in ("what_the_server_sees.png", "accuracy.png")]
    for path in paths:
        with Image.open(path) as figure:
            assert figure.format == "PNG"
            assert all(150 < side < 3000 for side in figure.size)
            pixels = np.asarray(figure.convert("RGB")).astype(int)
        assert np.ptp(pixels) > 200
        colourful = np.ptp(pixels, axis=-1).max() > 50
        assert colourful == (path.name == "accuracy.png" or case.get("channels") == 3)


def test_each_encrypted_arm_has_a_column(tmp_path: Path) -> None:
    widths = []
    for count in (1, 2, 3):
        folder = tmp_path / str(count)
        path, _ = draw(make(folder, arms=tuple(VIEWS)[:count]), folder)
        with Image.open(path) as figure:
            widths.append(figure.width)
    assert widths == [195, 390, 585]


def test_drawing_again_replaces(tmp_path: Path) -> None:
    results = make(tmp_path)
    assert draw(results, tmp_path) == draw(results, tmp_path)


def test_no_figures_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = make(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw(results, tmp_path) == []
    assert not (tmp_path / "figures").exists()
