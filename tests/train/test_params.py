"""Parameters on disk: the same bits back, on whatever devices; errors in one line."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import SingleDeviceSharding

from dkjax.errors import DataError
from dkjax.train.mesh import batch_sharding, replicated, train_mesh
from dkjax.train.params import load_params, save_params


def made_up(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "embedding": {"kernel": rng.normal(size=(4, 4, 1, 8)).astype(np.float32)},
        "head": {"bias": rng.normal(size=4).astype(np.float32), "kernel": rng.normal(size=(8, 4)).astype(np.float32)},
    }


WHOLE = replicated(train_mesh(8))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "params"
    save_params(path, jax.device_put(made_up(), WHOLE))
    return path


@pytest.mark.parametrize("like", [made_up(1), jax.eval_shape(made_up)], ids=["arrays", "shapes"])
@pytest.mark.parametrize(
    "sharding",
    [WHOLE, batch_sharding(train_mesh(8)), SingleDeviceSharding(jax.devices()[2])],
    ids=["whole", "divided", "one"],
)
def test_same_bits_on_any_devices(saved: Path, sharding: jax.sharding.Sharding, like: Any) -> None:
    loaded = load_params(saved, like, sharding)
    jax.tree.map(np.testing.assert_array_equal, loaded, made_up())
    for leaf in jax.tree.leaves(loaded):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)


def test_saving_again_replaces(tmp_path: Path) -> None:
    for seed in (0, 1):
        save_params(tmp_path / "params", jax.device_put(made_up(seed), WHOLE))
    jax.tree.map(np.testing.assert_array_equal, load_params(tmp_path / "params", made_up(), WHOLE), made_up(1))
    assert [path.name for path in tmp_path.iterdir()] == ["params"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_params(Path("params"), jax.device_put(made_up(), WHOLE))
    jax.tree.map(np.testing.assert_array_equal, load_params(Path("params"), made_up(), WHOLE), made_up())


def other_trees() -> dict[str, Any]:
    base = made_up()
    return {
        "missing": {"head": base["head"]},
        "unexpected": {**base, "cls": np.zeros(8, np.float32)},
        "renamed": {"embedding": base["embedding"], "heads": base["head"]},
        "shape": {**base, "head": {**base["head"], "kernel": np.zeros((8, 5), np.float32)}},
    }


@pytest.mark.parametrize("name", other_trees())
def test_parameters_of_another_model(saved: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "shape":
        # Orbax, when one array cannot be read, abandons the reading of the others, which complains at length on stderr
        # when garbage is collected: shapes have to be compared with the metadata before Orbax reads.
        monkeypatch.setattr(ocp.StandardCheckpointer, "restore", lambda *_, **__: pytest.fail("Orbax began to read"))
    with pytest.raises(DataError, match="are not those of this model") as caught:
        load_params(saved, other_trees()[name], WHOLE)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    for content in ("absent", "file", "empty"):
        path = tmp_path / content
        if content == "file":
            path.write_text("no parameters")
        if content == "empty":
            path.mkdir()
        with pytest.raises(DataError, match=f"parameters in {path}") as caught:
            load_params(path, made_up(), WHOLE)
        assert "\n" not in str(caught.value)
