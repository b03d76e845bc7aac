"""A client writes a packed data set: the data set it would have been, whatever stopped it in between."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dkjax
from dkjax import schemes
from dkjax.cli.main import app
from dkjax.client.data_set import Order, Progress, encrypt_data_set, estimate
from dkjax.config import KeysConfig
from dkjax.dkds import PackedDataSet, open_data_set, writer
from dkjax.dkds.convert import convert_data_set
from dkjax.dkds.packed import open_packed, pack_shard
from dkjax.dkds.verify import verify
from dkjax.errors import ArgumentError, ConfigError
from dkjax.runtime.ledger import read_ledger
from dkjax.sources import ArraySource

N, SHAPE = 30, (8, 8, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), np.uint8)
LABELS = (np.arange(N) % 3).astype(np.int32)
SOURCE = ArraySource(IMAGES, LABELS, ("a", "b", "c"))
SCHEME = schemes.sorted_blocks(4)
REPRODUCIBLE = KeysConfig(mode="reproducible", seed=5)


def order(**changes) -> Order:
    return Order(**{"scheme": SCHEME, "keys": REPRODUCIBLE, "shard_images": 12, "packed": True, **changes})


def shards_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.glob("shard-*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "a.dkds"
    manifest = encrypt_data_set(SOURCE, path, order())
    assert [entry.records for entry in manifest.shards] == [12, 12, 6]
    return path


def test_packed_is_the_same_data_set(whole: Path, tmp_path: Path) -> None:
    assert sorted(shards_of(whole)) == [f"shard-{number:05d}.dkpack" for number in range(3)]
    encrypt_data_set(SOURCE, tmp_path / "raw.dkds", order(packed=False))
    assert open_packed(whole).manifest == open_data_set(tmp_path / "raw.dkds").manifest
    convert_data_set(whole, "dkds", tmp_path / "back.dkds")
    assert shards_of(tmp_path / "back.dkds") == shards_of(tmp_path / "raw.dkds")


class KilledError(BaseException):
    pass


def before_packing(folder: Path, number: int, block_size: int) -> None:
    """Killed between a shard and its packed form."""
    if number == 1:
        raise KilledError
    pack_shard(folder, number, block_size)


def after_packing(folder: Path, number: int, block_size: int) -> None:
    """Killed when both are there."""
    if number == 1:
        path = folder / "shard-00001.safetensors"
        kept = path.read_bytes()
        pack_shard(folder, number, block_size)
        path.write_bytes(kept)
        raise KilledError
    pack_shard(folder, number, block_size)


@pytest.mark.parametrize("pack", [before_packing, after_packing])
def test_killed_while_a_shard_is_packed(pack, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.dkds"
    with monkeypatch.context() as patch:
        patch.setattr(writer, "pack_shard", pack)
        with pytest.raises(KilledError):
            encrypt_data_set(SOURCE, path, order())
    assert (path / "shard-00001.safetensors").exists()
    first = (path / "shard-00000.dkpack").stat().st_mtime_ns
    encrypt_data_set(SOURCE, path, order())
    assert shards_of(path) == shards_of(whole)
    assert (path / "shard-00000.dkpack").stat().st_mtime_ns == first
    assert verify(path).whole


def stopped(path: Path, chunks: int) -> None:
    seen: Iterator[int] = iter(range(chunks))

    def report(progress: Progress) -> None:
        if progress.chunk is not None and next(seen, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encrypt_data_set(SOURCE, path, order(), report)


def test_finished_shards_are_kept_and_damaged_ones_are_not(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.dkds"
    stopped(path, 2)
    kept = sorted(shards_of(path))
    assert kept == ["shard-00000.dkpack", "shard-00001.dkpack"]
    data = bytearray((path / kept[0]).read_bytes())
    data[200] ^= 1
    (path / kept[0]).write_bytes(data)
    (path / "shard-00007.dkpack").write_bytes(b"of an earlier order")
    told: list[Progress] = []
    encrypt_data_set(SOURCE, path, order(), told.append)
    assert told[0].kept == 12
    assert shards_of(path) == shards_of(whole)


def test_another_command_is_told(tmp_path: Path) -> None:
    stopped(tmp_path / "a.dkds", 1)
    with pytest.raises(ConfigError, match="another command, which differs in packed: choose another --out"):
        encrypt_data_set(SOURCE, tmp_path / "a.dkds", order(packed=False))


def test_schemes_without_an_order_are_refused(tmp_path: Path) -> None:
    for ask in (
        lambda scheme: encrypt_data_set(SOURCE, tmp_path / "a.dkds", order(scheme=scheme)),
        lambda scheme: estimate(SOURCE, order(scheme=scheme)),
    ):
        with pytest.raises(ArgumentError, match="packed is for the scheme sorted_blocks: the values of disposable"):
            ask(schemes.disposable(block_size=4))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArgumentError, match="packed is for data sets on disk: give out"):
        dkjax.client.encrypt(IMAGES, LABELS, SCHEME, packed=True)  # type: ignore[call-overload]


def test_in_python(tmp_path: Path) -> None:
    sent = dkjax.client.encrypt(IMAGES, LABELS, SCHEME, client="plant-a", out=tmp_path / "a.dkds", packed=True)
    assert isinstance(sent, PackedDataSet)
    assert (sent.manifest.client, sorted(sent.labels.tolist())) == ("plant-a", sorted(LABELS.tolist()))
    expected = estimate(SOURCE, order())
    assert (expected["records"], expected["shards"]) == (N, 3)
    assert expected["bytes"] == pytest.approx(sent.bytes, rel=0.15)


def test_at_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("p.npz", image=np.sort(IMAGES, axis=None).reshape(IMAGES.shape), label=LABELS)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*arguments])
        assert result.exit_code == code, result.output
        return result.stdout if not code else result.stderr.splitlines()[-1]

    sorting = ["--set", "scheme.name=sorted_blocks", "--set", "scheme.block_size=4", "--set", "data.image_size=8"]
    shown = run("encrypt", "p.npz", "--out", "a.dkds", "--client", "plant-a", "--packed", *sorting).splitlines()
    size = sum(file.stat().st_size for file in Path("a.dkds").glob("shard-*"))
    assert shown[0].startswith(f"a.dkds: 30 images in 1 shard, {size / 1e6:.1f} MB, from plant-a; 0 skipped")
    assert shown[1].startswith("packed: ")
    assert shown[1].endswith("% of the 0.0 MB that the server unpacks it to")
    assert shown[2] == "what the server will see: a.png"
    (line,) = read_ledger(Path("a.ledger.jsonl"))
    assert line["records"] == 30
    told = json.loads(run("inspect", "a.dkds", "--json"))
    assert (told["packed"], told["bytes"], sum(told["records_per_class"].values())) == (True, size, 30)
    assert "packed to be handed over: dkjax convert --to dkds unpacks it" in run("inspect", "a.dkds")
    assert "packed to be handed over: dkjax convert --to dkds unpacks it" in run("verify", "a.dkds")
    Path("run.toml").write_text('[scheme]\nname = "sorted_blocks"\nblock_size = 4\n')
    use = "dkjax: a.dkds is packed, as it is handed over: dkjax convert a.dkds --to dkds --out NAME.dkds unpacks it"
    assert run("train", "run.toml", "--data", "a.dkds", "--workdir", "w", code=4) == use
    assert run("attack", "a.dkds", code=4) == use
    assert "leave it out" in run("encrypt", "p.npz", "--out", "b.dkds", "--packed", *sorting[2:], code=2)
    assert run("convert", "a.dkds", "--to", "dkds", "--out", "b.dkds").startswith("b.dkds: 30 records as an encrypted")
    assert json.loads(run("inspect", "b.dkds", "--json"))["packed"] is False
