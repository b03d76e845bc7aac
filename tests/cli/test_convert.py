"""`dkjax convert` from the command line, on a data set that was really encrypted."""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dkjax.dkds.convert
from dkjax import schemes
from dkjax.cli.convert import Format
from dkjax.cli.main import app
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.config import KeysConfig
from dkjax.dkds import open_data_set
from dkjax.dkds.convert import CONTAINERS
from dkjax.runtime.ledger import read_ledger
from dkjax.sources import ArraySource


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command that runs in this process sets a handler of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def dkds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("convert") / "plant-a.dkds"
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), np.uint8)
    source = ArraySource(images, np.arange(12) % 2, ["scratch", "whole"])
    keys = KeysConfig(mode="disposable", prng="threefry2x32")
    encrypt_data_set(source, path, Order(schemes.disposable(4), keys, client="plant-a", shard_images=5))
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_formats_are_those_that_there_are() -> None:
    assert [*Format] == [*CONTAINERS]


@pytest.mark.parametrize("to", ["tfds", "parquet", "png"])
def test_there_and_back(to: str, dkds: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back.dkds"
    code, out, err = run(dkds, "--to", to, "--out", there)
    assert (code, err) == (0, "")
    said = out.splitlines()
    assert said[0].startswith(f"{there}: 12 records as {CONTAINERS[to].title}, ")
    assert said[1] == f"read with {CONTAINERS[to].how_to_read(there)}"
    code, out, err = run(there, "--to", "dkds", "--out", back, "--json")
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert {name: summary[name] for name in ("path", "from", "to", "client", "records")} == {
        "path": str(back),
        "from": to,
        "to": "dkds",
        "client": "plant-a",
        "records": 12,
    }
    one, other = open_data_set(dkds), open_data_set(back)
    assert one.manifest == other.manifest
    np.testing.assert_array_equal(one[:]["image"], other[:]["image"])
    assert summary["bytes"] == sum(path.stat().st_size for path in back.iterdir())
    for folder in (there, back):
        (event,) = read_ledger(folder.with_suffix(".ledger.jsonl"))
        assert (event["event"], event["client"], event["data_set"]) == ("written", "plant-a", folder.name)
        assert event["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert (event["records"], event["seconds"] > 0, event["cpu_seconds"] > 0) == (12, True, True)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent", "--to", "png", "--out", "b"], 4, "dkjax: there is no folder absent"),
        (["a.dkds", "--to", "png", "--out", "taken"], 2, "dkjax: taken exists and was left as it is"),
        (["photos", "--to", "dkds", "--out", "b.dkds"], 4, "dkjax: photos has no dkds.json"),
        (["a.dkds", "--to", "dkds", "--out", "b"], 2, "dkjax: b: the name of an encrypted data set"),
        (["a.dkds", "--to", "dkds", "--out", "b.dkds"], 4, "dkjax: a.dkds has no dkds.json"),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str],
    code: int,
    said: str,
    as_json: bool,
    dkds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if code == 2:
        (tmp_path / "a.dkds").symlink_to(dkds)
    else:
        (tmp_path / "a.dkds").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    found, out, err = run(*arguments, *(["--json"] * as_json))
    assert (found, out) == (code, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_wrong_usage(dkds: Path) -> None:
    for arguments in ([], [dkds], [dkds, "--to", "zip", "--out", "b"], [dkds, "--to", "png"]):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "Usage:" in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "no space"), "the disk is full; nothing is left of"),
        (KeyboardInterrupt(), "stopped; nothing is left of"),
    ],
)
def test_a_stop_leaves_nothing(
    error: BaseException, said: str, dkds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(dkjax.dkds.convert.conversion, "write_sidecar", fail)
    code, out, err = run(dkds, "--to", "png", "--out", tmp_path / "there")
    assert (code, out) == (75, "")
    assert err.startswith(f"dkjax: {said} {tmp_path / 'there'}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing(dkds: Path, tmp_path: Path) -> None:
    program = """
import sys
import dkjax.dkds.convert.stream as stream
take = stream.RecordStream.take
def slow(self, count):
    print("ready", flush=True)
    __import__("time").sleep(60)
stream.RecordStream.take = slow
from dkjax.cli.main import main
main()
"""
    command = [sys.executable, "-c", program, "convert", str(dkds), "--to", "tfds", "--out", str(tmp_path / "there")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert [path.name for path in tmp_path.iterdir()] == ["there.unfinished"]
        # Another one is refused meanwhile.
        code, _, err = run(dkds, "--to", "png", "--out", tmp_path / "there")
        assert (code, "another process is working" in err) == (2, True)
        child.terminate()
        _, err = child.communicate(timeout=60)
    assert child.returncode == 75
    assert err.startswith("dkjax: stopped; nothing is left of")
    assert list(tmp_path.iterdir()) == []
