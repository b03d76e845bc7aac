"""Every key of an encryption is known to this test, which looks for it in all that encrypting and training leave."""

import logging
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import share_compiled_programs
from key_search import found_keys, spellings, watched_keys
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.dkds import growing_shard
from dkjax.train.trained_model import load_trained

CONFIG = """
[data]
source = "digits"
image_size = 16
train_images = 64
[scheme]
block_size = 8
[store]
shard_images = 32
[model]
variant = "mu"
width = 8
heads = 1
mlp_dim = 8
[train]
epochs = 1
batch_size = 16
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two sites encrypt, one of them after a failure; a server checks and trains. What all of it leaves is kept."""
    folder = tmp_path_factory.mktemp("left")
    (folder / "run.toml").write_text(CONFIG)
    handler = signal.getsignal(signal.SIGTERM)
    log = logging.FileHandler(folder / "log")
    logging.getLogger().addHandler(log)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    codes, said = [], []

    def run(*arguments: str) -> None:
        result = CliRunner().invoke(app, arguments)
        codes.append(result.exit_code)
        said.extend([result.output, repr(result.exception), *traces(result.exception)])

    encrypt = ["encrypt", "digits", "--config", "run.toml", "--out"]
    jax.clear_caches()
    jax.config.update("jax_dump_ir_to", str(folder / "programs"))
    of_the_tests = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    share_compiled_programs(True)
    try:
        with pytest.MonkeyPatch.context() as patch, watched_keys() as used:
            patch.chdir(folder)
            run(*encrypt, "a.dkds")
            with pytest.MonkeyPatch.context() as failing:
                failing.setattr(growing_shard.GrowingShard, "finish", fail)
                run("--debug", *encrypt, "b.dkds")
            run(*encrypt, "b.dkds", "--set", "keys.mode=reproducible", "--set", "keys.seed=1")  # refused
            run(*encrypt, "b.dkds", "--json")
            run("verify", "a.dkds", "b.dkds", "--json")
            run("inspect", "a.dkds", "--json")
            run("train", "run.toml", "--data", "a.dkds", "b.dkds", "--test", "digits", "--workdir", "run")
            run("evaluate", "run", "--data", "a.dkds")
    finally:
        share_compiled_programs(False)
        jax.config.update("jax_compilation_cache_dir", of_the_tests)
        jax.config.update("jax_dump_ir_to", None)
        logging.getLogger().removeHandler(log)
        logging.getLogger().setLevel(level)
        log.close()
        signal.signal(signal.SIGTERM, handler)
    (folder / "said").write_text("\n".join(said))
    for path in (folder / "compiled").iterdir():
        path.with_suffix(".unpacked").write_bytes(unpacked(path.read_bytes()))
    # A checkpoint is compressed: its arrays are looked through as well.
    params = jax.tree.leaves(load_trained(folder / "run").params)
    (folder / "params").write_bytes(b"".join(np.asarray(leaf).tobytes() for leaf in params))
    yield {"folder": folder, "keys": np.unique(np.concatenate(used), axis=0), "codes": codes}


def unpacked(kept: bytes) -> bytes:
    """A compiled program as JAX wrote it before it compressed it, with zstandard where there is that."""
    if kept.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return zstandard.decompress(kept)
    return zlib.decompress(kept)


def fail(self: Any, path: Path) -> None:
    raise RuntimeError(f"{path} of {vars(self)!r} by {self!r}")


def traces(error: BaseException | None) -> list[str]:
    """The values of all local variables at the time of an exception, as a debugger or an error reporter shows them."""
    shown, trace = [], None if error is None else error.__traceback__
    while trace is not None:
        for name, value in trace.tb_frame.f_locals.items():
            # The repr of a JAX key array has its words; the functions that hold one have erased it by now.
            erased = isinstance(value, jax.Array) and value.is_deleted()
            shown.append(f"{name} = {'erased' if erased else repr(value)}")
        trace = trace.tb_next
    return shown


def test_everything_ran(left: dict[str, Any]) -> None:
    assert left["codes"] == [0, 1, 2, 0, 0, 0, 0, 0]
    # Roots, rounds, clients and images, of three tries.
    assert len(left["keys"]) > 2 * 64
    names = {path.name for path in left["folder"].rglob("*")}
    assert {"manifest.json", "COMMIT", "metrics.jsonl", "results.json", "log", "said"} <= names
    programs = list((left["folder"] / "programs").rglob("*"))
    assert any("_run_once" in path.name for path in programs)  # what `encrypt` compiles
    assert any("train_step" in path.name for path in programs)
    compiled = [path.name for path in (left["folder"] / "compiled").glob("*.unpacked")]
    assert any("_run_once" in name for name in compiled)
    assert any("train_step" in name for name in compiled)
    assert "RuntimeError" in (left["folder"] / "said").read_text()


def test_no_key_is_left(left: dict[str, Any]) -> None:
    assert found_keys(left["folder"], left["keys"]) == []


@pytest.mark.parametrize("spelling", range(5))
def test_a_key_would_be_found(left: dict[str, Any], spelling: int) -> None:
    planted = left["folder"] / "programs" / "planted"
    planted.write_bytes(b"dense<" + spellings(left["keys"][0])[spelling] + b">")
    try:
        assert found_keys(left["folder"], left["keys"]) == ["planted"]
    finally:
        planted.unlink()


def test_no_plan_is_left(left: dict[str, Any]) -> None:
    """The seed of the order would tell which record was which image."""
    assert not list(Path(left["folder"]).rglob(".plan.json"))
