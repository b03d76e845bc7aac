"""Data sets of several clients as one: in one order whatever their names, and refused where they disagree."""

from pathlib import Path

import jax
import numpy as np
import pytest
from made_data_sets import arrays, digits, encrypted

from dkjax.config import KeysConfig
from dkjax.dkds import Part, open_data_set, writer
from dkjax.errors import DamagedDataSetError, DataError
from dkjax.server import merge as merging
from dkjax.server.merge import merge, require_all_whole
from dkjax.train.observer import Observer


def test_merged_without_copying_in_an_order_of_their_own(tmp_path: Path) -> None:
    b = open_data_set(encrypted(tmp_path / "b.dkds", digits(11)))
    a1 = open_data_set(encrypted(tmp_path / "z.dkds", digits(12), client="a", part=Part(index=1, of=2)))
    a0 = open_data_set(encrypted(tmp_path / "y.dkds", digits(12), client="a", part=Part(index=0, of=2)))
    for given in ([b, a1, a0], [a0, a1, b], [a1, b, a0]):
        merged = merge(given)
        assert merged.data_sets == (a0, a1, b)
        assert [(sent.client, len(sent.pool)) for sent in merged.uploads] == [("a", 6), ("a", 6), ("b", 11)]
        assert merged.uploads[2].pool.pieces[0]["image"] is b.shards[0].image
    assert (merged.image_shape, merged.block_size) == ((8, 8, 1), 4)
    assert merged.class_names == tuple(str(digit) for digit in range(10))


def test_schemes_and_keys_may_differ(tmp_path: Path) -> None:
    a = open_data_set(encrypted(tmp_path / "a.dkds", fixed_blocks=2))
    b = open_data_set(encrypted(tmp_path / "b.dkds", fixed_pixels=8, keys=KeysConfig()))
    assert len(merge([a, b]).data_sets) == 2


@pytest.mark.parametrize("copied", [False, True])
def test_one_data_set_twice(copied: bool, tmp_path: Path) -> None:
    import shutil

    a = encrypted(tmp_path / "a.dkds")
    other = Path(shutil.copytree(a, tmp_path / "copy.dkds")) if copied else a
    with pytest.raises(DataError, match=r"a\.dkds and .*\.dkds are the same data set: give it once"):
        merge([open_data_set(a), open_data_set(other)])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "cow"), r"b\.dkds calls class 1 'cow', but .*a\.dkds calls class 1 'dog'"),
        (("cat",), r"b\.dkds has no class 1, but .*a\.dkds calls class 1 'dog'"),
        (("cat", "dog", "cow"), r"b\.dkds calls class 2 'cow', but .*a\.dkds has no class 2"),
        (("dog", "cat"), r"b\.dkds calls class 0 'dog', but .*a\.dkds calls class 0 'cat'"),
    ],
)
def test_classes_have_to_agree(classes: tuple[str, ...], message: str, tmp_path: Path) -> None:
    a = open_data_set(encrypted(tmp_path / "a.dkds", arrays(4, ("cat", "dog"))))
    b = open_data_set(encrypted(tmp_path / "b.dkds", arrays(6, classes)))
    for given in ([a, b], [b, a]):
        with pytest.raises(DataError, match=message):
            merge(given)


def test_shapes_and_blocks_have_to_agree(tmp_path: Path) -> None:
    classes = ("cat", "dog")
    a = open_data_set(encrypted(tmp_path / "a.dkds", arrays(4, classes)))
    larger = open_data_set(encrypted(tmp_path / "l.dkds", arrays(4, classes, (16, 8, 1))))
    finer = open_data_set(encrypted(tmp_path / "f.dkds", arrays(4, classes), block_size=2))
    with pytest.raises(DataError, match=r"l\.dkds has images of shape \[16, 8, 1\], but .*a\.dkds of \[8, 8, 1\]"):
        merge([a, larger])
    with pytest.raises(DataError, match=r"f\.dkds has blocks of 2 pixels, but .*a\.dkds of 4: a ViT needs one size"):
        merge([a, finer])


def test_records_are_those_of_the_data_sets(tmp_path: Path) -> None:
    a, b = (open_data_set(encrypted(tmp_path / name, digits(13))) for name in ("a.dkds", "b.dkds"))
    images = np.concatenate([sent.pool[:]["image"] for sent in merge([b, a]).uploads])
    np.testing.assert_array_equal(images, np.concatenate([a[:]["image"], b[:]["image"]]))


@pytest.mark.parametrize("process", [0, 1])
def test_records_in_common_over_processes(process: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = writer._derived
    constant = lambda seed, purpose: derived("0" if purpose.startswith("record") else seed, purpose)  # noqa: E731
    monkeypatch.setattr(writer, "_derived", constant)
    sources = [open_data_set(encrypted(tmp_path / name, client=name[0])) for name in ("a.dkds", "b.dkds")]
    with pytest.raises(DamagedDataSetError, match="has the id of record"):
        require_all_whole(sources, Observer())
    checked = []
    monkeypatch.setattr(merging, "require_whole", lambda paths, _: checked.extend(paths))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(merging, "run_on_all", lambda function: function())
    monkeypatch.setattr(merging, "leader_does", lambda function: function())
    with pytest.raises(DamagedDataSetError, match=r"b\.dkds/shard.*record 0 has the id of record 0 of .*a\.dkds"):
        require_all_whole(sources, Observer())
    assert checked == [sources[process].path]
