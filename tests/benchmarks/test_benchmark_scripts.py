"""The scripts of benchmarks/: tables and JSON on stdout, talk on stderr, errors in a line."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import feed
import names
import photos
import pytest
import script
import train
from typer.testing import CliRunner

from dkjax.bench.table import print_tables

FEED = ["--size", "32", "--batch", "4", "--images", "30", "--repeats", "1"]
NAMES = ["--names", "20"]
PHOTOS = ["--images", "4", "--size", "32", "--repeats", "1"]
TRAIN = ["--batch", "4", "--steps", "2", "--repeats", "1"]
SCRIPTS: dict[str, tuple[ModuleType, str, list[str]]] = {
    "feed": (feed, "measure_feed", FEED),
    "names": (names, "measure_names", NAMES),
    "photos": (photos, "measure_photos", PHOTOS),
    "train": (train, "measure_training", TRAIN),
}
every_script = pytest.mark.parametrize("name", SCRIPTS)


@pytest.fixture(scope="module")
def ran() -> Iterator[dict[str, Any]]:
    """Each script with --json, and without on the same measurement."""
    handler = signal.getsignal(signal.SIGTERM)
    results = {}
    for name, (module, measure, arguments) in SCRIPTS.items():
        results[name, True] = CliRunner().invoke(script.app(module.main), [*arguments, "--json"])
        with pytest.MonkeyPatch.context() as patch:
            measured = json.loads(results[name, True].stdout)
            patch.setattr(module, measure, lambda *args, measured=measured, **settings: measured)
            results[name, False] = CliRunner().invoke(script.app(module.main), arguments)
    yield results
    signal.signal(signal.SIGTERM, handler)


@every_script
def test_json_is_one_object(ran: dict, name: str) -> None:
    result = ran[name, True]
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["bench"] == name


@every_script
def test_tables_fit_a_hundred_columns(ran: dict, name: str) -> None:
    result = ran[name, False]
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in result.stdout


def test_feed_is_compared(ran: dict) -> None:
    text = ran["feed", False].stdout
    for word in ("32 px, batches of 4 from 30 images in 1 shards", "dkjax, shards, to the device", "Record"):
        assert word in text
    row = next(line for line in text.splitlines() if line.startswith(" ArrayRecord, one by one"))
    assert row.split()[6] == "1.0"


def test_photos_are_compared(ran: dict) -> None:
    text = ran["photos", False].stdout
    for word in (
        "4 JPEG files of 500 x 375, 32 px after resizing",
        "decoding, exact",
        "dkjax encrypt, scaled",
        "images/s",
    ):
        assert word in text


def test_names_are_counted(ran: dict) -> None:
    assert "20 names" in ran["names", False].stdout
    (row,) = json.loads(ran["names", True].stdout)["rows"]
    assert row["names"] == 20 and row["cpu_microseconds_a_name"] > 0


@pytest.mark.slow
def test_a_name_takes_few_bytes() -> None:
    """Listing 100,000 images: what is held, and that a name of a larger folder takes no longer."""
    result = names.measure_names([10**4, 10**5])
    small, large = result["rows"]
    assert large["listing_bytes_a_name"] < 300
    assert large["bytes_until_encrypted"] < 300 * 10**5
    assert large["cpu_microseconds_a_name"] < 2 * small["cpu_microseconds_a_name"]


def test_training_is_compared(ran: dict) -> None:
    text = ran["train", False].stdout
    for word in ("2 steps of 4 images of 32 px, float32", "one batch on the device", "and a checkpoint", "images/s"):
        assert word in text


def test_talk_goes_to_stderr(ran: dict) -> None:
    assert ran["feed", True].stderr.splitlines() == [
        "measuring 32 px: writing 30 images twice",
        "measuring 32 px, batches of 4 from 30 images in 1 shards",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"), [(["--size", "64"], "dkjax: --size 64 is not one of 32, 224"), (["--batch", "0"], "--batch")]
)
def test_what_is_wrong_is_said(arguments: list[str], text: str, ran: dict) -> None:
    result = CliRunner().invoke(script.app(feed.main), arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert "Traceback" not in result.stderr


@every_script
def test_help(name: str) -> None:
    result = CliRunner().invoke(script.app(SCRIPTS[name][0].main), ["-h"], env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    own = {"names": ("--names", "--folder"), "photos": ("--repeats", "--images", "--photographs")}
    for word in ("--json", *own.get(name, ("--repeats", "--batch"))):
        assert word in result.stdout


def test_the_script_for_gpus_says_how_to_call_it() -> None:
    done = subprocess.run(["bash", Path(script.__file__).with_name("gpu.sh")], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: bash benchmarks/gpu.sh OUT\n")


def test_it_runs_as_a_script() -> None:
    """From anywhere: the other files of the folder are found."""
    command = [sys.executable, str(Path(feed.__file__)), "--size", "64"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dkjax: --size 64 is not one of 32, 224\n"


def test_numbers_of_a_table(capsys: pytest.CaptureFixture) -> None:
    row = {"first_call_seconds": 1234.5, "median_seconds": 9.87654, "fastest_seconds": 1.23456}
    row |= {"name": "dkjax, shards, to the device", "images_per_second": 987_654.3}
    row |= {"gigabytes_per_second": 2.345, "times_array_record": 87.65}
    machine = {"device": {"platform": "cpu", "kind": "cpu"}, "cpu_cores": 2, "versions": {"dkjax": "0.1.0"}}
    result = {**machine, "cases": [{"size": 32, "images": 100_000, "batch": 1024, "contenders": [row]}]}
    print_tables(result, feed.tables(result))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert " ".join(lines[0]) == "cpu (cpu), 2 CPU cores, dkjax 0.1.0"
    assert " ".join(lines[1]) == "32 px, batches of 1,024 from 100,000 images in 3 shards"
    numbers = ["987,654", "2.35", "87.7", "9,876.54", "1,234.56", "1234.50"]
    assert ["dkjax,", "shards,", "to", "the", "device", *numbers] in lines
