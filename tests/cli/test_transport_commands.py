"""From a site to the server at the command line: what is said, exit codes, and JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from small_data_sets import write_small
from typer.testing import CliRunner

from dkjax.cli.main import app

RECIPE = """
[data]
image_size = 4
channels = 3
classes = ["scratch", "dent", "whole"]
[scheme]
block_size = 2
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def as_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Path("run.toml").write_text(RECIPE)
    for noise, client in enumerate(("plant-a", "plant-b")):
        write_small(Path(f"{client}.dkds"), client=client, noise=noise)
    assert run("invite", "run.toml", "--clients", "plant-a", "plant-b", "--store", "store").exit_code == 0
    return tmp_path


def test_the_whole_way(site: Path) -> None:
    sent = as_json("upload", "plant-a.dkds", "--ticket", "plant-a.ticket")
    assert (sent["records"], sent["objects"], sent["already"], sent["notes"]) == (25, 4, False, [])
    again = run("upload", "plant-a.dkds", "--ticket", "plant-a.ticket")
    assert again.stdout.startswith("plant-a.dkds was sent before: 4 objects")
    taken = run("ingest", "store", "--into", "data")
    assert taken.exit_code == 0
    assert f"plant-a: accepted: data/plant-a-{sent['data_set'][:8]}.dkds, 25 images, key {sent['fingerprint']}" in (
        taken.stdout.splitlines()
    )
    assert "plant-b: waiting: nothing was sent yet" in taken.stdout.splitlines()
    assert "warning: move server-keys/offline.agekey" in taken.stderr
    assert run("ticket", "report", "plant-a.ticket").stdout == "accepted\n"
    assert as_json("ticket", "report", "plant-a.ticket")["data_set"] == sent["data_set"]
    assert (
        run("ticket", "report", "plant-b.ticket").stdout
        == "unknown: there is no report yet: the server has not looked, or could not read what was sent\n"
    )
    verdicts = as_json("ingest", "store", "--into", "data")["verdicts"]
    assert sorted((one["client"], one["status"]) for one in verdicts) == [("plant-a", "kept"), ("plant-b", "waiting")]
    gone = as_json("withdraw", "plant-a", "--into", "data", "--store", "store")
    assert (gone["tickets"], gone["objects"], gone["models"]) == (1, 6, [])
    assert [one["id"] for one in gone["data_sets"]] == [sent["data_set"]]
    assert not list((site / "data").glob("*.dkds"))


def test_a_folder_that_is_copied(site: Path) -> None:
    sent = run("upload", "plant-a.dkds", "--ticket", "plant-a.ticket", "--to", "sealed", "--rate", "10MB")
    assert sent.exit_code == 0, sent.output
    shutil.copytree("sealed", "inbox")
    assert "plant-a: accepted" in run("ingest", "inbox", "--into", "data").stdout


def test_what_a_ticket_says(site: Path) -> None:
    shown = run("ticket", "show", "plant-a.ticket")
    assert shown.exit_code == 0
    invited = as_json("invite", "run.toml", "--clients", "plant-c", "--store", "store")
    for text in (
        "a ticket for plant-a, for one data set",
        f"the server {invited['server']}: compare this",
        "4 x 4 pixels, 3 channels; at most 1,000,000",
        "scratch, dent, whole",
        "disposable (block_size 2, fixed_blocks 0, fixed_pixels 0)",
        "at most 20,000 MB",
        "(7 days left)",
    ):
        assert text in shown.stdout
    told = as_json("ticket", "show", "plant-a.ticket")
    assert (told["client"], told["max_images"], told["server"]) == ("plant-a", 1_000_000, invited["server"])
    key = as_json("ticket", "key")
    assert run("ticket", "key").stdout.splitlines()[0] == key["key"]
    assert Path(key["path"]).stat().st_mode & 0o077 == 0


def test_the_recipe_is_a_configuration(site: Path) -> None:
    from dkjax.config import PlanConfig, load_as

    Path("again.toml").write_text(run("ticket", "recipe", "plant-a.ticket").stdout)
    found = load_as(PlanConfig, Path("again.toml"))
    assert found.data.classes == ("scratch", "dent", "whole")
    assert (found.data.height_width, found.data.channels) == ((4, 4), 3)
    assert (found.scheme.name, found.scheme.block_size) == ("disposable", 2)


def refused(*arguments: object) -> tuple[int, str]:
    result = run(*arguments)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, result.output
    assert result.stdout == "" or arguments[0] == "ingest"
    return result.exit_code, lines[0]


def test_bad_input(site: Path) -> None:
    send = ("upload", "plant-a.dkds", "--ticket")
    edited = site / "edited.ticket"
    edited.write_text(Path("plant-a.ticket").read_text().replace('"plant-a"', '"plant-b"'))
    cases = [
        ((*send, "nowhere.ticket"), 4, "the ticket nowhere.ticket cannot be read: No such file"),
        ((*send, "run.toml"), 4, "run.toml is no ticket of dkjax"),
        ((*send, edited), 4, "was edited after the server had signed it: ask for it anew"),
        ((*send, "plant-b.ticket"), 4, "is from plant-a, but the ticket is for plant-b"),
        ((*send, "plant-a.ticket", "--rate", "fast"), 2, "--rate: expected a size such as 500MB"),
        ((*send, "plant-a.ticket", "--key", "run.toml"), 4, "run.toml is no Ed25519 key of OpenSSH"),
        ((*send, "plant-a.ticket", "--to", "s3://nobody/x"), 5, "the store s3://nobody/x does not"),
        (("upload", "none.dkds", "--ticket", "plant-a.ticket"), 4, "none.dkds is no finished data set"),
        (("ingest", "store", "--into", "data", "--keys", "no"), 4, "there are no keys of a server in no"),
        (("ingest", "nowhere", "--into", "data"), 2, "there is no folder nowhere: expected the store"),
        (("ingest", "store", "--into", "data", "--identity", "run.toml"), 4, "run.toml holds no key of age"),
        (("withdraw", "plant-z", "--into", "data"), 4, "there is no folder data"),
        (("invite", "run.toml", "--clients", "a", "--store", "x", "--expires", "soon"), 2, "such as 7d, got 'soon'"),
        (("invite", "run.toml", "--clients", "a", "--store", "x", "--store-option", "a"), 2, "expected NAME=VALUE"),
        (("invite", "run.toml", "--clients", "plant-a", "--store", "x"), 2, "plant-a.ticket exists and was left"),
        (("invite", "run.toml", "--clients", "a/b", "--store", "x"), 2, "is no pseudonym"),
        (
            ("invite", "run.toml", "--clients", "a", "--store", "x", "--set", "data.classes=[]"),
            2,
            "data.classes",
        ),
    ]
    Path("store").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setattr("dkjax.transport.pace.random.uniform", lambda *_: 0.0)
        for arguments, code, text in cases:
            found = refused(*arguments)
            assert found[0] == code, (arguments, found)
            assert text in found[1], (arguments, found)


def test_a_recipe_that_is_not_whole(site: Path) -> None:
    Path("run.toml").write_text(RECIPE.replace('classes = ["scratch", "dent", "whole"]', ""))
    code, text = refused("invite", "run.toml", "--clients", "a", "--store", "x")
    assert (code, "set data.classes: all clients have to agree on it" in text) == (2, True)


def test_a_refused_client(site: Path) -> None:
    for client in ("plant-a", "plant-b"):
        assert run("upload", f"{client}.dkds", "--ticket", f"{client}.ticket").exit_code == 0
    slot = as_json("ticket", "show", "plant-a.ticket")["slot"]
    piece = sorted(path for path in (site / "store" / slot).iterdir() if path.name != "manifest.age")[0]
    piece.write_bytes(piece.read_bytes()[:-1] + b"x")
    result = run("ingest", "store", "--into", "data")
    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1] == "dkjax: 1 of 2 tickets refused: plant-a"
    assert "plant-b: accepted" in result.stdout
    report = run("ticket", "report", "plant-a.ticket").stdout
    assert report.startswith("refused: ")
    assert "is not what was signed" in report


def test_a_lost_server_key(site: Path) -> None:
    run("upload", "plant-a.dkds", "--ticket", "plant-a.ticket")
    Path("server-keys/server.agekey").unlink()
    code, text = refused("ingest", "store", "--into", "data")
    assert (code, "is lost: bring offline.agekey back" in text) == (4, True)
    result = run("ingest", "store", "--into", "data", "--identity", "server-keys/offline.agekey")
    assert (result.exit_code, "plant-a: accepted" in result.stdout) == (0, True)
    assert "only the offline key opens what clients send" in result.stderr
