"""`dkjax cost`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dkjax.cli.main import app

SMALL = ("--set", "data.train_images=100", "--set", "keys.prng=threefry2x32")


def test_says_which_is_cheaper(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["cost", "quickstart", *SMALL, "--json", "--figure", str(tmp_path / "bytes.png")])
    assert (found.exit_code, found.exception) == (0, None), found.stderr
    told = json.loads(found.stdout)
    ways = {way["name"]: way for way in told["ways"]}
    assert 0.5 < told["compressed_share"] < 2
    assert 0.05 < told["packed_share"] < 0.8
    assert ways["one upload, sorted, packed"]["up_bytes"] == pytest.approx(
        told["packed_share"] * ways["one upload, raw"]["up_bytes"]
    )
    assert ways["one upload, raw"]["moved_bytes"] < ways["fedavg float32"]["moved_bytes"]
    assert told["verdict"].startswith("For the network one upload moves")
    assert (tmp_path / "bytes.png").stat().st_size > 5000
    assert told["native_shape"] is None


def test_pictures_that_are_resized(tmp_path: Path) -> None:
    rows = np.arange(70, dtype=np.uint8)[:, None, None] * np.ones((1, 100, 3), np.uint8)
    for number in range(12):
        folder = tmp_path / "photos" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rows + number).save(folder / f"{number}.png")
    sets = [f"data.source={tmp_path / 'photos'}", "data.image_size=16", "clients.count=2", "model.variant=mu"]
    command = ["cost", "quickstart", *SMALL, *(part for one in sets for part in ("--set", one))]
    found = CliRunner().invoke(app, [*command, "--json"])
    assert (found.exit_code, found.exception) == (0, None), found.stderr
    told = json.loads(found.stdout)
    ways = {way["name"]: way for way in told["ways"]}
    assert (told["native_shape"], told["images"]) == ([64, 96, 3], 10)  # whole patches of 8 pixels
    raw = ways["native size, raw"]
    assert raw["up_bytes"] == 5 * (64 * 96 * 3 + 4)
    assert 0 < ways["native size, sorted, packed"]["up_bytes"] < 0.1 * raw["up_bytes"]
    assert 0 < ways["native size, compressed"]["up_bytes"] < 1.1 * raw["up_bytes"]
    # Of other pictures than the files are, only what follows from the size is said.
    given = CliRunner().invoke(app, [*command, "--native", "200x50"])
    lines = [line.split()[:4] for line in given.stdout.splitlines() if line.strip().startswith("native size")]
    assert lines == [["native", "size,", "raw", f"{5 * (48 * 200 * 3 + 4) / 1e6:.3g}"]]
    assert "Native: 48 x 200 x 3, as the server cannot resize what is encrypted." in given.stdout


@pytest.mark.parametrize(
    ("override", "code"),
    [("federated.clients_per_round=9", 2), ("federated.lora_rank=999", 2), ("data.source=no.npz", 4)],
)
def test_one_line_and_a_code(override: str, code: int) -> None:
    found = CliRunner().invoke(app, ["cost", "quickstart", "--set", override])
    assert found.exit_code == code
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("native", ["1024", "0x768", "3x3", "1024x768x3"])
def test_a_size_that_is_none(native: str) -> None:
    found = CliRunner().invoke(app, ["cost", "quickstart", *SMALL, "--native", native])
    (line,) = found.stderr.splitlines()
    assert found.exit_code == 2 and line.startswith(f"dkjax: --native {native}")
