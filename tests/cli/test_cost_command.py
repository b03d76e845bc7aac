"""`dkjax cost`."""

import json
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    ("override", "code"),
    [("federated.clients_per_round=9", 2), ("federated.lora_rank=999", 2), ("data.source=no.npz", 4)],
)
def test_one_line_and_a_code(override: str, code: int) -> None:
    found = CliRunner().invoke(app, ["cost", "quickstart", "--set", override])
    assert found.exit_code == code
    assert "Traceback" not in found.stderr
