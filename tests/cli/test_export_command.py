"""`dkjax export`: every format is whole and loads as the command says, and nothing is overwritten."""

import json
import pathlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
import pytest
from typer.testing import CliRunner

from dkjax.cli.export import Format
from dkjax.cli.main import app
from dkjax.models.pretrained import FORMATS, load_pretrained
from dkjax.models.vit import vit
from dkjax.train.trained_model import Trained, save_trained

SHAPE, CLASSES = (8, 12, 3), ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def trained() -> Trained:
    model = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8)
    leaves, tree = jax.tree.flatten(model.init(jax.random.key(1), SHAPE))
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    return Trained(model, jax.tree.unflatten(tree, drawn), SHAPE, CLASSES)


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Iterator[Path]:
    """A folder with a trained model, the current one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        save_trained(tmp_path / "run", trained)
        yield tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["export", *arguments])


def test_formats_are_those_of_the_package() -> None:
    assert tuple(Format) == FORMATS


@pytest.mark.parametrize("to", ["npz", "safetensors", "hf"])
def test_loads_as_it_was(to: str, folder: Path, trained: Trained) -> None:
    result = run("run", "--to", to, "--out", f"new/{to}", "--json")
    assert (result.exit_code, result.exception) == (0, None)
    summary = json.loads(result.stdout)
    assert (summary["path"], summary["to"]) == (f"new/{to}", to)
    assert (summary["image_shape"], summary["class_names"]) == (list(SHAPE), list(CLASSES))
    loaded, _ = load_pretrained(folder / "new" / to, trained.model, SHAPE, keep_head=True)
    jax.tree.map(np.testing.assert_array_equal, loaded, trained.params)
    if to == "hf":
        names = json.loads((folder / "new/hf/config.json").read_text())["id2label"]
        assert {int(label): name for label, name in names.items()} == dict(enumerate(CLASSES))
        assert f"from_pretrained({summary['path']!r})" in summary["load_with"]
    else:
        assert "img_size=[8, 12], patch_size=4" in summary["load_with"]


def test_stablehlo_loads_by_the_line_that_is_printed(folder: Path, trained: Trained) -> None:
    result = run("run", "--to", "stablehlo")
    first, second = result.stdout.splitlines()
    assert first.startswith("run/model.stablehlo: 3 classes of images 8 x 12 x 3, ")
    images = np.random.default_rng(1).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    names: dict[str, Any] = {"jax": jax, "pathlib": pathlib}
    exec(second.removeprefix("load with "), names)
    logits = names["network"](images)
    np.testing.assert_allclose(logits, trained.model.apply(trained.params, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_is_overwritten(to: str, folder: Path) -> None:
    (folder / "there").write_text("mine")
    result = run("run", "--to", to, "--out", "there")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "dkjax: there exists and was left as it is: choose another --out, or remove it\n"
    assert (folder / "there").read_text() == "mine"


def test_twice_into_the_folder_itself(folder: Path) -> None:
    assert [run("run", "--to", "hf").exit_code for _ in range(2)] == [0, 2]
    assert sorted(path.name for path in (folder / "run").iterdir()) == ["model.hf", "model.json", "params"]


def test_what_is_no_trained_model(folder: Path) -> None:
    result = run(".", "--to", "npz")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "dkjax: there is no trained model in .: dkjax train puts one there when it has finished\n"


def test_a_simulation_as_a_whole(folder: Path) -> None:
    (folder / "all" / "arms" / "plain").mkdir(parents=True)
    (folder / "run").rename(folder / "all" / "arms" / "plain" / "run-0")
    result = run("all", "--to", "npz")
    assert (result.exit_code, result.stdout) == (4, "")
    expected = "all is a simulation, which trained several models: name one of them, such as all/arms/plain/run-0"
    assert result.stderr == f"dkjax: {expected}\n"
    assert run("all/arms/plain/run-0", "--to", "npz").exit_code == 0


def test_a_model_without_a_counterpart_leaves_nothing(folder: Path, trained: Trained) -> None:
    model = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8, pool="mean")
    save_trained(folder / "mean", Trained(model, model.init(jax.random.key(0), SHAPE), SHAPE, CLASSES))
    result = run("mean", "--to", "hf", "--out", "new")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("dkjax: ") and result.stderr.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["mean", "run"]


def test_an_unknown_format(folder: Path) -> None:
    result = run("run", "--to", "pickle")
    assert result.exit_code == 2
    assert "'pickle' is not one of" in result.stderr
