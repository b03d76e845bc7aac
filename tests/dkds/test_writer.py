"""Writing an encrypted data set: what stays after a stop, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dkjax import schemes
from dkjax.dkds import Description, Part, open_data_set, open_writer
from dkjax.dkds.manifest import ImageEntry, SchemeEntry
from dkjax.dkds.verify import verify
from dkjax.errors import ConfigError, DamagedDataSetError, DataError

ITEMS, SHARD = 25, 10
SHAPE = (4, 4, 3)


def description(**changes) -> Description:
    fields = {
        "keys": "disposable",
        "key_sharing": "per_image",
        "prng": "chacha20",
        "scheme": SchemeEntry.of(schemes.disposable(block_size=2)),
        "image": ImageEntry(shape=list(SHAPE), dtype="uint8"),
        "class_names": ["a", "b"],
        "views": 1,
        "part": Part(),
    }
    return Description(**{**fields, **changes})


def writer_of(path: Path, *, client=None, num_items=ITEMS, shard_images=SHARD, request=None, seed=None, **changes):
    return open_writer(
        path,
        description(**changes),
        client=client,
        num_items=num_items,
        shard_images=shard_images,
        request=request or {},
        seed=seed,
    )


def records_of(items: np.ndarray):
    """Records that can be told from each other."""
    image = np.broadcast_to(items.astype(np.uint8)[:, None, None, None], (len(items), *SHAPE))
    return {"image": image, "label": (items % 2).astype(np.int32)}


def write(path: Path, shards: int | None = None, **options):
    """Write a data set, or its first so many missing shards."""
    with writer_of(path, **options) as writer:
        for number in writer.missing[:shards]:
            writer.add(number, records_of(writer.items_of(number)))
        return writer.commit() if shards is None else None


def test_every_item_once_in_an_order_of_its_own(tmp_path):
    manifest = write(tmp_path / "one.dkds")
    assert [entry.records for entry in manifest.shards] == [10, 10, 5]
    one = open_data_set(tmp_path / "one.dkds")[:]
    np.testing.assert_array_equal(np.sort(one["image"][:, 0, 0, 0]), np.arange(ITEMS))
    np.testing.assert_array_equal(one["label"], one["image"][:, 0, 0, 0] % 2)
    write(tmp_path / "other.dkds")
    other = open_data_set(tmp_path / "other.dkds")[:]
    assert not np.array_equal(one["image"], np.sort(one["image"], axis=0))
    assert not np.array_equal(one["image"], other["image"])


def test_nothing_but_the_data_set_is_left(tmp_path):
    write(tmp_path / "a.dkds")
    shards = [f"shard-0000{i}.safetensors" for i in range(3)]
    assert sorted(os.listdir(tmp_path / "a.dkds")) == sorted(["COMMIT", "manifest.json", *shards])


def test_ids_are_all_different_and_do_not_repeat(tmp_path):
    ids = set()
    for name in ("a", "b"):
        write(tmp_path / f"{name}.dkds")
        data_set = open_data_set(tmp_path / f"{name}.dkds")
        ids |= {record.tobytes() for shard in data_set.shards for record in shard.id}
        ids.add(bytes.fromhex(data_set.manifest.id))
    assert len(ids) == 2 * (ITEMS + 1)


def test_a_seed_decides_everything(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.dkds", seed=bytes(range(16)))
    for file in sorted((tmp_path / "a.dkds").glob("shard-*")):
        assert file.read_bytes() == (tmp_path / "b.dkds" / file.name).read_bytes()


def test_the_seed_is_in_no_file_that_stays(tmp_path):
    seed = bytes(range(100, 116))
    write(tmp_path / "a.dkds", seed=seed)
    for file in (tmp_path / "a.dkds").iterdir():
        data = file.read_bytes()
        assert seed not in data and seed.hex().encode() not in data


def test_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "a.dkds"
    write(path, shards=2)
    kept = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.glob("shard-*")}
    with pytest.raises(DamagedDataSetError, match="run the dkjax encrypt that began it again") as stopped:
        open_data_set(path)
    assert stopped.value.kind == "uncommitted"
    with writer_of(path) as writer:
        assert writer.missing == [2]
        assert (writer.records, writer.items_done, writer.num_shards) == (20, 20, 3)
    write(path)
    for name, (changed, data) in kept.items():
        assert ((path / name).stat().st_mtime_ns, (path / name).read_bytes()) == (changed, data)
    np.testing.assert_array_equal(np.sort(open_data_set(path)[:]["image"][:, 0, 0, 0]), np.arange(ITEMS))


@pytest.mark.parametrize("left", ["cut short", "of another data set", "at another place", "empty file", "damaged"])
def test_a_shard_that_is_none_is_written_again(tmp_path, left):
    path = tmp_path / "a.dkds"
    write(path, shards=2)
    shard = path / "shard-00001.safetensors"
    if left == "of another data set":
        write(tmp_path / "b.dkds")
        shard.write_bytes((tmp_path / "b.dkds" / shard.name).read_bytes())
    elif left == "at another place":
        shard.write_bytes((path / "shard-00000.safetensors").read_bytes())
    elif left == "damaged":
        data = bytearray(shard.read_bytes())
        data[-20] ^= 1
        shard.write_bytes(data)
    else:
        shard.write_bytes(shard.read_bytes()[:-1] if left == "cut short" else b"")
    with writer_of(path) as writer:
        assert writer.missing == [1, 2]
    write(path)
    assert len(open_data_set(path)) == ITEMS


def test_files_that_were_being_written_are_removed(tmp_path):
    path = tmp_path / "a.dkds"
    write(path, shards=1)
    (path / "shard-00001.safetensors.unfinished").write_bytes(b"x" * 100)
    write(path)
    assert not list(path.glob("*.unfinished"))


def test_shards_of_an_earlier_plan_are_removed(tmp_path):
    path = tmp_path / "a.dkds"
    write(path, shards=5, shard_images=5)
    (path / ".plan.json").write_text("{")
    write(path)
    assert verify(path).whole


def test_other_files_are_refused_before_the_work(tmp_path):
    """They would be strangers in the finished data set."""
    path = tmp_path / "a.dkds"
    write(path, shards=1)
    (path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"holds other files, such as notes\.txt"), writer_of(path):
        pass


@pytest.mark.parametrize("client", ["plant a", "../a", "", "a" * 65, "a\n"])
def test_what_is_no_pseudonym_is_said_before_the_work(tmp_path, client):
    with pytest.raises(ConfigError, match="is no pseudonym"), writer_of(tmp_path / "a.dkds", client=client):
        pass
    assert not (tmp_path / "a.dkds").exists()


@pytest.mark.parametrize(
    "plan", ['{"seed": "x", "request": {}}', '{"seed": 3, "request": {}}', '{"seed": "", "request": 1}']
)
def test_a_plan_that_cannot_be_followed_is_made_anew(tmp_path, plan):
    write(tmp_path / "a.dkds", shards=2)
    (tmp_path / "a.dkds" / ".plan.json").write_text(plan)
    write(tmp_path / "a.dkds")
    assert verify(tmp_path / "a.dkds").whole


@pytest.mark.parametrize("step", ["manifest.json", "COMMIT", ".plan.json", ".lock"])
def test_stopped_while_committing(tmp_path, step, monkeypatch):
    path = tmp_path / "a.dkds"
    replace, unlink = Path.replace, Path.unlink

    def stop(file: Path, *args: object) -> None:
        if file.name in (step, step + ".unfinished"):
            raise KeyboardInterrupt
        (replace if args else unlink)(file, *args)

    with pytest.raises(KeyboardInterrupt), writer_of(path) as writer:
        for number in writer.missing:
            writer.add(number, records_of(writer.items_of(number)))
        monkeypatch.setattr(Path, "replace", stop)
        monkeypatch.setattr(Path, "unlink", lambda file, missing_ok=False: stop(file))
        writer.commit()
    monkeypatch.undo()
    if step == ".lock":
        assert len(open_data_set(path)) == ITEMS  # a lock that nobody holds does no harm
        return
    with pytest.raises(DamagedDataSetError) as stopped:
        open_data_set(path)
    assert stopped.value.kind == "uncommitted"
    with writer_of(path) as writer:
        assert writer.missing == []
        writer.commit()
    assert len(open_data_set(path)) == ITEMS


def test_what_could_not_be_read_is_left_out(tmp_path):
    with writer_of(tmp_path / "a.dkds") as writer:
        for number in writer.missing:
            writer.add(number, records_of(writer.items_of(number)[: 3 if number else 0]))
        manifest = writer.commit()
    assert [entry.records for entry in manifest.shards] == [0, 3, 3]
    assert len(open_data_set(tmp_path / "a.dkds")) == 6


def test_nothing_could_be_read(tmp_path):
    with pytest.raises(DataError, match="none of the images could be read"), writer_of(tmp_path / "a.dkds") as writer:
        for number in writer.missing:
            writer.add(number, records_of(np.arange(0)))
        writer.commit()
    assert not (tmp_path / "a.dkds" / "COMMIT").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"views": 2}, "views"),
        ({"request": {"data": "other"}}, "data"),
        ({"client": "plant-b"}, "client"),
        ({"num_items": 26}, "num_items"),
        ({"shard_images": 5}, "shard_images"),
        ({"class_names": ["a", "c"]}, "class_names"),
        ({"scheme": SchemeEntry.of(schemes.qi(block_size=2))}, "scheme"),
    ],
)
def test_another_command_is_refused(tmp_path, changes, said):
    write(tmp_path / "a.dkds", shards=1, request={"data": "one"})
    before = (tmp_path / "a.dkds" / ".plan.json").read_bytes()
    with (
        pytest.raises(ConfigError, match=f"differs in .*{said}"),
        writer_of(tmp_path / "a.dkds", **{"request": {"data": "one"}, **changes}),
    ):
        pass
    assert (tmp_path / "a.dkds" / ".plan.json").read_bytes() == before


def test_another_seed_is_refused(tmp_path):
    write(tmp_path / "a.dkds", shards=1, seed=bytes(16))
    with pytest.raises(ConfigError, match=r"differs in keys\.seed"), writer_of(tmp_path / "a.dkds", seed=b"x" * 16):
        pass


def test_a_plan_that_cannot_be_read_is_made_anew(tmp_path):
    write(tmp_path / "a.dkds", shards=2)
    (tmp_path / "a.dkds" / ".plan.json").write_text("{")
    with writer_of(tmp_path / "a.dkds") as writer:
        assert writer.missing == [0, 1, 2]  # nobody can say any more which items they hold
    write(tmp_path / "a.dkds")
    np.testing.assert_array_equal(np.sort(open_data_set(tmp_path / "a.dkds")[:]["image"][:, 0, 0, 0]), np.arange(ITEMS))


def test_a_finished_data_set_is_left_alone(tmp_path):
    write(tmp_path / "a.dkds")
    before = {file.name: file.read_bytes() for file in (tmp_path / "a.dkds").iterdir()}
    with pytest.raises(ConfigError, match="is finished and was left as it is"):
        write(tmp_path / "a.dkds")
    assert {file.name: file.read_bytes() for file in (tmp_path / "a.dkds").iterdir()} == before


def test_other_places_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.dkds"):
        write(tmp_path / "a.zip")
    (tmp_path / "file.dkds").touch()
    with pytest.raises(ConfigError, match="is a file"):
        write(tmp_path / "file.dkds")
    (tmp_path / "full.dkds").mkdir()
    (tmp_path / "full.dkds" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"holds other files, such as thesis\.txt"):
        write(tmp_path / "full.dkds")
    (tmp_path / "empty.dkds").mkdir()
    write(tmp_path / "empty.dkds")


def test_two_at_once_are_refused(tmp_path):
    with (
        writer_of(tmp_path / "a.dkds") as writer,
        pytest.raises(ConfigError, match="another process is working"),
        writer_of(tmp_path / "a.dkds"),
    ):
        pass
    assert writer.missing == [0, 1, 2]


def test_the_plan_is_for_its_owner_alone(tmp_path):
    write(tmp_path / "a.dkds", shards=1)
    plan = tmp_path / "a.dkds" / ".plan.json"
    assert plan.stat().st_mode & 0o077 == 0
    assert json.loads(plan.read_text()).keys() == {"seed", "request", "checksum"}


def test_a_client_without_a_name_gets_one(tmp_path):
    assert write(tmp_path / "a.dkds").client.startswith("client-")
    assert write(tmp_path / "b.dkds", client="plant-b").client == "plant-b"


def test_a_writer_that_was_killed_holds_nothing(tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_writer import *
with writer_of(Path({str(tmp_path / "a.dkds")!r})) as writer:
    writer.add(0, records_of(writer.items_of(0)))
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ConfigError, match="another process"), writer_of(tmp_path / "a.dkds"):
            pass
        child.kill()
    with writer_of(tmp_path / "a.dkds") as writer:
        assert writer.missing == [1, 2]
