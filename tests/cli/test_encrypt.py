"""`dkjax encrypt`: from a folder of photographs to a data set, for people and for machines."""

import errno
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.dkds import open_data_set
from dkjax.dkds.growing_shard import GrowingShard
from dkjax.runtime.files import read_json
from dkjax.runtime.ledger import read_ledger

SMALL = ["--set", "data.image_size=16", "--set", "scheme.block_size=4", "--set", "store.shard_images=8"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def photos(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for name in ("whole", "scratch"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            pixels = random.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"secret-name-{i}.png")
    (tmp_path / "photos" / "whole" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "photos"


def run(*args: str, code: int = 0):
    result = CliRunner().invoke(app, ["encrypt", *args])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def test_a_folder_of_photographs(photos):
    result = run("photos", "--out", "a.dkds", "--client", "plant-a", *SMALL)
    first, picture, not_hidden = result.stdout.splitlines()
    assert first.startswith("a.dkds: 12 images in 2 shards")
    assert "from plant-a; 1 skipped" in first
    assert picture == "what the server will see: a.png"
    assert "label" in not_hidden
    assert "skipped whole/broken.jpg: not an image file" in result.stderr
    data_set = open_data_set(Path("a.dkds"))
    assert (len(data_set), data_set.image_shape, data_set.class_names) == (12, (16, 16, 3), ("scratch", "whole"))
    with Image.open("a.png") as image:
        assert image.format == "PNG"
    for file in Path("a.dkds").iterdir():
        assert b"secret-name" not in file.read_bytes()


def test_json(photos):
    result = run("photos", "--out", "a.dkds", "--json", *SMALL)
    assert result.stdout.count("\n") == 1
    told = json.loads(result.stdout)
    assert (told["path"], told["records"], told["shards"], told["kept"]) == ("a.dkds", 12, 2, 0)
    assert told["client"].startswith("client-")
    assert told["skipped"][0]["name"] == "whole/broken.jpg"
    assert told["bytes"] == sum(file.stat().st_size for file in Path("a.dkds").glob("shard-*"))


def test_one_recipe_serves_simulation_and_client(photos):
    Path("recipe.toml").write_text(
        """
[data]
source = "digits"
image_size = 8
[scheme]
name = "qi"
block_size = 2
[model]
variant = "mu"
[[arms]]
name = "plain"
"""
    )
    run("photos", "--out", "a.dkds", "--config", "recipe.toml")
    manifest = open_data_set(Path("a.dkds")).manifest
    assert (manifest.scheme.name, manifest.image.shape) == ("qi", [8, 8, 3])


def test_shares_of_fixed_positions(photos):
    run("photos", "--out", "a.dkds", *SMALL, "--set", "scheme.fixed_blocks=75%", "--set", "scheme.fixed_pixels=50%")
    parameters = open_data_set(Path("a.dkds")).manifest.scheme.parameters
    assert parameters == {"block_size": 4, "fixed_blocks": 12, "fixed_pixels": 24}


def test_dry_run_writes_nothing(photos):
    result = run("photos", "--out", "a.dkds", "--dry-run", *SMALL)
    assert "would hold 13 images in 2 shards" in result.stdout
    assert "Nothing was written" in result.stdout
    told = json.loads(run("photos", "--out", "a.dkds", "--dry-run", "--json", *SMALL).stdout)
    assert (told["records"], told["bytes"]) == (13, 13 * (16 * 16 * 3 + 24))
    assert sorted(os.listdir()) == ["photos"]


def test_views_come_with_a_warning(photos):
    result = run("photos", "--out", "a.dkds", "--views", "2", *SMALL)
    assert "There are 2 encryptions of every image under different keys" in result.stdout
    assert open_data_set(Path("a.dkds")).manifest.views == 2


def test_a_seed_comes_with_a_warning(photos):
    result = run("photos", "--out", "a.dkds", *SMALL, "--set", "keys.mode=reproducible", "--set", "keys.seed=3")
    assert "whoever knows or guesses it can decrypt" in result.stdout
    assert open_data_set(Path("a.dkds")).manifest.keys == "reproducible"


def test_the_array_of_a_cluster_splits_the_work(photos, monkeypatch):
    for task in ("5", "6"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "5")
        monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
        run("photos", "--out", "a.dkds", "--shard", "auto", *SMALL)
    parts = [open_data_set(Path(f"a-0000{i}-of-00002.dkds")) for i in range(2)]
    assert sum(map(len, parts)) == 12
    assert "--shard auto splits the work" in run("photos", "--out", "all.dkds", *SMALL).stderr


def test_another_picture_is_not_overwritten(photos):
    Image.new("RGB", (3, 3)).save("a.png")
    before = Path("a.png").read_bytes()
    result = run("photos", "--out", "a.dkds", "--json", *SMALL)
    assert json.loads(result.stdout)["picture"] is None
    assert "a.png: is another picture" in result.stderr
    assert Path("a.png").read_bytes() == before


def test_a_full_disk_leaves_what_is_finished(photos, monkeypatch):
    finish = GrowingShard.finish

    def full(self, path) -> None:
        if path.name == "shard-00001.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        finish(self, path)

    monkeypatch.setattr(GrowingShard, "finish", full)
    result = run("photos", "--out", "a.dkds", *SMALL, code=75)
    assert result.stderr.splitlines()[-1] == (
        "dkjax: the disk is full; what was finished is kept: make room, and the same command goes on"
    )
    assert sorted(os.listdir("a.dkds")) == [".lock", ".plan.json", "shard-00000.safetensors"]
    monkeypatch.setattr(GrowingShard, "finish", finish)
    result = run("photos", "--out", "a.dkds", *SMALL)
    assert "going on: 8 of 13 images were finished before" in result.stderr
    data_set = open_data_set(Path("a.dkds"))
    assert len(data_set) == 12
    events = read_ledger(Path("a.ledger.jsonl"))
    # The one that could not be read is in either shard, as the order is drawn.
    assert [event["records"] for event in events] == [len(shard.id) for shard in data_set.shards]
    assert events[0]["bytes"] > Path("a.dkds/shard-00000.safetensors").stat().st_size
    assert events[1]["bytes"] > Path("a.dkds/shard-00001.safetensors").stat().st_size


def test_a_path_may_be_written_in_several_ways(photos, monkeypatch):
    finish = GrowingShard.finish
    monkeypatch.setattr(GrowingShard, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    run("photos", "--out", "a.dkds", *SMALL, code=75)
    monkeypatch.setattr(GrowingShard, "finish", finish)
    run(f"{photos}/", "--out", "a.dkds", *SMALL)
    assert len(open_data_set(Path("a.dkds"))) == 12


def test_repaired_files_are_said_to_be_read_again(photos, monkeypatch):
    finish = GrowingShard.finish

    def stop(self, path) -> None:
        if path.name == "shard-00001.safetensors":
            raise KeyboardInterrupt
        finish(self, path)

    monkeypatch.setattr(GrowingShard, "finish", stop)
    run("photos", "--out", "a.dkds", *SMALL, code=75)
    monkeypatch.setattr(GrowingShard, "finish", finish)
    for path in photos.rglob("*.*"):
        Image.new("RGB", (16, 16)).save(path)
    assert (
        "8 images are read again: files among them have changed since"
        in run("photos", "--out", "a.dkds", *SMALL).stderr
    )
    assert len(open_data_set(Path("a.dkds"))) == 13


def test_a_replaced_archive_is_noticed(photos, monkeypatch):
    np.savez("a.npz", image=np.zeros((9, 16, 16, 3), np.uint8), label=np.zeros(9, int))
    finish = GrowingShard.finish
    monkeypatch.setattr(GrowingShard, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    run("a.npz", "--out", "a.dkds", *SMALL, code=75)
    monkeypatch.setattr(GrowingShard, "finish", finish)
    np.savez("a.npz", image=np.ones((9, 16, 16, 3), np.uint8), label=np.zeros(9, int))
    assert (
        "was begun by another command, which differs in data" in run("a.npz", "--out", "a.dkds", *SMALL, code=2).stderr
    )


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nothing/here", "--out", "a.dkds"], 4, "no file or folder nothing/here"),
        (["digitz", "--out", "a.dkds"], 2, "did you mean digits?"),
        (["photos", "--out", "a.dkds"], 2, "needs an image size"),
        (["photos", "--out", "a.zip", *SMALL], 2, "ends in .dkds"),
        (["photos", "--out", "photos", *SMALL], 2, "ends in .dkds"),
        (["photos", "--out", "a.dkds", *SMALL, "--set", "scheme.block_size=5"], 2, "block_size=5"),
        (["photos", "--out", "a.dkds", *SMALL, "--set", "scheme.blocksize=5"], 2, "did you mean 'block_size'?"),
        (["photos", "--out", "a.dkds", *SMALL, "--shard", "4/4"], 2, "share 4 of 4"),
        (["photos", "--out", "a.dkds", *SMALL, "--client", "two words"], 2, "client"),
        (["photos", "--out", "a.dkds", *SMALL, "--split", "valid"], 2, "--split must be train or test"),
        (["photos", "--out", "a.dkds", "--config", "none.toml"], 2, "there is no configuration none.toml"),
        (["photos", "--out", "no/such/folder/a.dkds", *SMALL], 0, None),
    ],
)
def test_errors_are_one_line(photos, args, code, said):
    result = run(*args, code=code)
    if said is not None:
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("dkjax: ")]
        assert said in line
        assert not list(Path().rglob("*.dkds"))


def test_report_attacks_the_images_before_they_leave(photos):
    result = run("photos", "--out", "a.dkds", "--client", "plant-a", "--report", "--json", *SMALL)
    summary = json.loads(result.stdout)
    assert read_json(Path("a.attacks.json")) == summary["attacks"]
    assert sorted(path.name for path in Path().iterdir()) == [
        *("a.attacks.json", "a.dkds", "a.ledger.jsonl", "a.png", "photos")
    ]
    (event,) = read_ledger(Path("a.ledger.jsonl"))
    assert (event["event"], event["client"], event["records"]) == ("written", "plant-a", summary["records"])
    assert event["bytes"] == sum(path.stat().st_size for path in Path("a.dkds").iterdir())
    assert 0 < event["seconds"] <= summary["seconds"] + 0.1 and event["cpu_seconds"] > 0
    assert sorted(path.name for path in Path("a.dkds").iterdir()) == [
        "COMMIT",
        "manifest.json",
        "shard-00000.safetensors",
        "shard-00001.safetensors",
    ]
    (found,) = summary["attacks"]["settings"].values()
    assert (found["scheme"], found["images"]) == ("disposable", 12)
    assert found["attacks"]["linking"]["scores"]["top1_of_12"]["mean"] == 1
    assert "secret-name" not in Path("a.attacks.json").read_text()
    said = run("photos", "--out", "b.dkds", "--dry-run", "--report", *SMALL).stdout
    assert "linking          top1_of_12                1.000" in said
    assert not list(Path().glob("b*"))
