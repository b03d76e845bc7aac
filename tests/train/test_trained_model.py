"""A trained model in a folder: it comes back as it was, or not at all."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from dkjax.errors import DataError
from dkjax.models.vit import vit
from dkjax.runtime.files import read_json, write_json
from dkjax.train.trained_model import Trained, load_trained, save_trained

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8, pool="mean", dropout=0.1, reading="sorted")


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained(MODEL, MODEL.init(jax.random.key(1), (8, 12, 3)), (8, 12, 3), ("a", "b", "ç"))


def test_round_trip(trained: Trained, tmp_path: Path) -> None:
    for _ in range(2):
        save_trained(tmp_path, trained)
    found = load_trained(tmp_path)
    assert (found.model, found.image_shape, found.class_names) == (MODEL, (8, 12, 3), ("a", "b", "ç"))
    jax.tree.map(np.testing.assert_array_equal, found.params, trained.params)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no trained model in .*: dkjax train puts one there"):
        load_trained(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model": {"width": 8}}', '"\\ud800"'])
def test_not_written_by_us(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError, match=r"model\.json is damaged, or of another version of dkjax: copy it again"):
        load_trained(tmp_path)
    write_json(tmp_path / "model.json", {"model": {"width": 8}})
    with pytest.raises(
        DataError, match=r"model\.json describes no model: it was not written by this version of dkjax train"
    ):
        load_trained(tmp_path)


def test_swapped_classes_are_noticed(trained: Trained, tmp_path: Path) -> None:
    save_trained(tmp_path, trained)
    described = json.loads((tmp_path / "model.json").read_text())
    described["class_names"].reverse()
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=r"model\.json is damaged, or of another version of dkjax: copy it again"):
        load_trained(tmp_path)


def test_parameters_of_another_model(trained: Trained, tmp_path: Path) -> None:
    save_trained(tmp_path, trained)
    described = read_json(tmp_path / "model.json")
    assert described is not None
    described["model"]["width"] = 16
    write_json(tmp_path / "model.json", described)
    with pytest.raises(DataError, match="are not those of this model"):
        load_trained(tmp_path)
    described["model"]["heads"] = 3
    write_json(tmp_path / "model.json", described)
    with pytest.raises(DataError, match="describes no model: heads=3 does not divide"):
        load_trained(tmp_path)


@pytest.mark.parametrize("harm", ["flipped", "missing", "added"])
def test_a_flipped_bit_is_noticed(harm: str, trained: Trained, tmp_path: Path) -> None:
    save_trained(tmp_path, trained)
    largest = max(
        (path for path in (tmp_path / "params").rglob("*") if path.is_file()), key=lambda one: one.stat().st_size
    )
    if harm == "flipped":
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 0x40
        largest.write_bytes(data)
    elif harm == "missing":
        largest.unlink()
    else:
        (largest.parent / "more").write_bytes(b"1")
    with pytest.raises(DataError, match="params are damaged: copy them again"):
        load_trained(tmp_path)
