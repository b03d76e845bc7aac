"""Every command as a person runs it, where errors and results go to a terminal.

The default tests run each command once or twice, in this process, under settings that are as unlike as can be. The slow
ones run each in a process of its own under every setting.
"""

import datetime
import re
import shutil
import unicodedata
from pathlib import Path

import jax
import pytest
from made_data_sets import digits, encrypted
from made_up_run import write_attacks, write_simulation
from terminal import Shown, run_here, run_on_terminal

from dkjax.models.vit import vit
from dkjax.train.trained_model import Trained, save_trained
from dkjax.transport.ingest import ingest
from dkjax.transport.invite import issue
from dkjax.transport.register import Register
from dkjax.transport.sealed_set import open_local
from dkjax.transport.server_keys import make_server_keys
from dkjax.transport.signature import load_or_make_key
from dkjax.transport.store import open_store
from dkjax.transport.ticket import read_ticket
from dkjax.transport.upload import upload

CONFIG = """
[data]
source = "digits"
image_size = 8
train_images = 40
test_images = 20
[clients]
count = 2
[scheme]
block_size = 4
[model]
variant = "mu"
width = 8
heads = 2
mlp_dim = 8
[train]
epochs = 1
batch_size = 8
[[arms]]
name = "disposable-with-a-name-that-is-long"
"""
EVIL = "\x1b]0;not yours\x07\x1b[2J\u202e"
CLASSES = ("zero", "one" + EVIL, *map(str, range(2, 10)))

PLAIN: dict[str, str] = {}
NO_COLOR = {"NO_COLOR": "1"}
FORCE_COLOR = {"FORCE_COLOR": "1"}
DUMB = {"TERM": "dumb"}

AGREED = ("--set", 'data.classes=["zero", "one", "2", "3", "4", "5", "6", "7", "8", "9"]')

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "help": (["--help"], ["Usage", "predict"]),
    "version": (["--version"], ["dkjax 0"]),
    "recipes": (["recipes"], ["quickstart: The whole method on real images"]),
    "init": (["init", "new.toml", "--image-size", "32"], ["written: new.toml", "next, at each site"]),
    "encrypt": (
        ["encrypt", "digits", "--config", "run.toml", "--out", "new.dkds"],
        ["encrypting", "40 images in 1 shard", "what the server will see: new.png"],
    ),
    "inspect": (["inspect", "a.dkds"], ["protection", "Not hidden:", "contents"]),
    "verify": (["verify", "a.dkds", "b.dkds"], ["a.dkds is whole", "b.dkds is whole: 24 images in 3 shards"]),
    "convert": (["convert", "a.dkds", "--to", "png", "--out", "png"], ["24 records", "read with"]),
    "invite": (
        ["invite", "run.toml", "--clients", "c", "--store", "new", "--set", "data.channels=1", *AGREED],
        ["written: c.ticket", "this server: ", "warning: move server-keys/offline.agekey"],
    ),
    "ticket": (["ticket", "show", "a.ticket"], ["a ticket for a, for one data set", "0, 1, 2", "sealed to"]),
    "upload": (
        ["upload", "a.dkds", "--ticket", "a.ticket", "--key", "k", "--to", "new"],
        ["sending a.dkds", "sent a.dkds: 24 images in 4 objects", "signed by a, key "],
    ),
    "ingest": (["ingest", "sent", "--into", "data"], ["b: accepted: ", "warning: move server-keys"]),
    "withdraw": (["withdraw", "b", "--into", "taken"], ["removed: taken/b-", "1 ticket of b revoked", "no model"]),
    "train": (
        ["train", "run.toml", "--data", "a.dkds", "b.dkds", "--test", "digits", "--workdir", "new"],
        ["training: ", "accuracy on training batches", "upload (MB)", "written: new/results.json"],
    ),
    "predict": (["predict", "run", "p.npz"], ["p.npz[0]: ", "note: 2 of another size were resized"]),
    "export": (["export", "run", "--to", "npz"], ["10 classes of images 8 x 8 x 1", "load with"]),
    "plan": (["plan", "run.toml", "--classes", "10", "--image-shape", "8,8,1"], ["memory of a device", "compiled in"]),
    "cost": (["cost", "run.toml"], ["one upload, raw", "break-even", "For the network"]),
    "doctor": (["doctor"], ["versions", "devices", "kernel", "disk"]),
    "bench": (
        ["bench", "encrypt", "--quick", "--size", "32", "--batch", "2", "--repeats", "1"],
        ["measuring 32 px", "CPU cores", "images/s"],
    ),
    "attack": (
        ["attack", "run.toml", "--images", "2", "--only", "linking", "--workdir", "attacks"],
        ["2 images", "top1_of_", "written: attacks/attacks.json"],
    ),
    "report": (
        ["report", "attacked", "--out", "page"],
        ["What does an adversary without a key get back?", "puzzle on disposable", "written: page/report.html"],
    ),
    "frontier": (
        ["frontier", "compared", "--max-ssim", "0.5", "--figure", "frontier.png"],
        ["dominated", "not dominated: disposable", "recommended: disposable, ", "written: frontier.png"],
    ),
    "simulate": (
        ["simulate", "run.toml", "--workdir", "sim"],
        ["40 training images of 2 clients", "plain", "fresh", "written: sim/results.json"],
    ),
}
SETTINGS = {
    "60": (60, PLAIN),
    "80": (80, PLAIN),
    "200": (200, PLAIN),
    "no colour": (80, NO_COLOR),
    "colour": (60, FORCE_COLOR),
    "dumb": (80, DUMB),
}
PAIRS = [
    ("help", "60"),
    ("help", "dumb"),
    ("version", "colour"),
    ("recipes", "60"),
    ("init", "60"),
    ("encrypt", "60"),
    ("inspect", "no colour"),
    ("verify", "dumb"),
    ("verify", "200"),
    ("convert", "colour"),
    ("train", "80"),
    ("predict", "200"),
    ("predict", "60"),
    ("export", "dumb"),
    ("plan", "no colour"),
    ("cost", "60"),
    ("doctor", "60"),
    ("invite", "60"),
    ("ticket", "colour"),
    ("upload", "80"),
    ("ingest", "dumb"),
    ("withdraw", "no colour"),
    ("attack", "60"),
    ("report", "60"),
    ("frontier", "60"),
    ("simulate", "60"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    folder = tmp_path_factory.mktemp("made")
    (folder / "run.toml").write_text(CONFIG)
    for name in ("a", "b"):
        encrypted(folder / f"{name}.dkds", digits(24))
    model = vit("mu", patch_size=4, num_classes=10, width=8, heads=2, mlp_dim=8)
    save_trained(folder / "run", Trained(model, model.init(jax.random.key(0), (8, 8, 1)), (8, 8, 1), CLASSES))
    send(folder)
    write_attacks(folder / "attacked", {"config_hash": "0" * 64})
    write_simulation(folder / "compared")
    write_attacks(folder / "compared" / "attacks", {"config_hash": "0" * 64})
    np.savez(folder / "p.npz", image=np.zeros((2, 10, 10), np.uint8))
    return folder


def send(folder: Path) -> None:
    """Invite two clients, one of whom has sent its data set, which is in `taken` already."""
    keys = make_server_keys(folder / "server-keys")
    opened = open_local(folder / "a.dkds")
    settings = {"expires": datetime.timedelta(days=7), "max_bytes": 10**6, "max_images": 100}
    for client, ticket in issue(keys, ["a", "b"], opened.recipe, str(folder / "sent"), {}, **settings).items():
        (folder / f"{client}.ticket").write_bytes(ticket)
    key = load_or_make_key(folder / "b.key")
    upload(folder / "b.dkds", read_ticket(folder / "b.ticket"), key)
    ingest(open_store(str(folder / "sent"), {}), Register(folder / "taken"), keys, keys.identities())


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def screen(text: str) -> str:
    """What can be read of it: without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def check(shown: Shown, command: str, setting: str) -> None:
    _, expected = COMMANDS[command]
    columns, env = SETTINGS[setting]
    assert shown.returncode == 0, shown.text
    assert "Traceback" not in shown.text
    readable = " ".join(screen(shown.text).split())
    for text in expected:
        if text in ("encrypting", "sending a.dkds") and env == DUMB:
            continue  # the bars, which are lines there, and only if it takes long
        assert text in readable or text.replace(" ", "") in readable.replace(" ", ""), shown.text
    assert set(re.findall(r"\x1b(?:\[[0-9;?]*([A-Za-z])|(.))", shown.text)) <= {(kind, "") for kind in "mKAlh"}
    if env == DUMB:
        assert "\x1b" not in shown.text
    if env == NO_COLOR:
        assert not re.search(r"\x1b\[(?:\d+;)*[349]\d(?:;\d+)*m", shown.text)
    tables = [line for line in screen(shown.text).splitlines() if "─" in line or "│" in line]
    assert all(len(line) <= columns for line in tables)
    if "\x1b[?25l" in shown.text:
        assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l")  # the cursor is back


@pytest.mark.parametrize(("command", "setting"), PAIRS)
def test_every_command(command: str, setting: str, folder: Path) -> None:
    columns, env = SETTINGS[setting]
    check(run_here(COMMANDS[command][0], columns=columns, env=env), command, setting)
    if command == "train":
        shown = run_here(["evaluate", "new"], columns=60, env=NO_COLOR)
        assert (shown.returncode, "Traceback" in shown.text) == (0, False)
        assert re.search(r"digits: [\d.]+% of 20 images", screen(shown.text))


def test_every_command_is_among_them() -> None:
    from typer.main import get_command

    import dkjax.cli.main

    known = set(get_command(dkjax.cli.main.app).commands)  # type: ignore[attr-defined]
    assert known - set(COMMANDS) == {"evaluate"}  # which comes after train


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_under_every_setting(command: str, setting: str, folder: Path) -> None:
    columns, env = SETTINGS[setting]
    check(run_on_terminal(COMMANDS[command][0], folder, columns=columns, env=env), command, setting)


def test_names_of_strangers(folder: Path) -> None:
    """Files of a data set, classes of a model, files of a folder, and what a shell's `*` makes of them."""
    (folder / "a.dkds" / f"{EVIL}name").touch()
    (folder / "photos" / "class").mkdir(parents=True)
    (folder / "photos" / "class" / f"{EVIL}.png").write_text("no image")
    for arguments, code in (
        (["verify", "a.dkds"], 4),
        (["inspect", "a.dkds"], 4),
        (["verify", f"{EVIL}.dkds"], 4),
        (["verify", f"--{EVIL}"], 2),
        (["train", "run.toml", "--data", "a.dkds", "--workdir", "x"], 4),
        (["predict", "run", "p.npz", "--top", "10"], 0),
        (["predict", "run", "p.npz", "--top", "10", "--csv"], 0),
        (["predict", "run", "photos"], 4),
        (["encrypt", "./photos", "--out", "p.dkds", "--set", "data.image_size=8", "--set", "scheme.block_size=4"], 4),
        (["simulate", f"{EVIL}.toml"], 2),
        ([EVIL], 2),
    ):
        shown = run_here(arguments, env=DUMB)
        assert shown.returncode == code, shown.text
        obeyed = [
            letter for letter in shown.text if unicodedata.category(letter) in ("Cc", "Cf") and letter not in "\r\n"
        ]
        assert not obeyed, (arguments, shown.text)
        assert "\\x1b]0;" in shown.text.replace("\r\n", ""), (arguments, shown.text)


@pytest.mark.parametrize(
    ("arguments", "before", "at"),
    [
        # Its threads are at work, and are not waited for.
        (
            ["verify", "a.dkds"],
            "import dkjax.dkds.verify as v, time; v._sha256 = lambda *_: time.sleep(100)",
            "checking a.dkds",
        ),
        (COMMANDS["encrypt"][0], "", "encrypting"),
    ],
)
def test_control_c_under_a_bar(arguments: list[str], before: str, at: str, folder: Path) -> None:
    shown = run_on_terminal(arguments, folder, before=before, interrupt_at=at)
    assert shown.returncode == 75, shown.text
    assert "Traceback" not in shown.text
    last = screen(shown.text).splitlines()[-1]
    assert re.fullmatch(r".*dkjax: stopped; .*the same command goes on", last)
    assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l")
