"""Records on their way: however they are cut, the same ones arrive and the same hash comes out."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from odd_data_sets import Make, records_of

from dkjax.dkds import Manifest
from dkjax.dkds.convert.stream import Chunk, RecordStream, ids_of, names_of
from dkjax.errors import DataError


@pytest.fixture
def whole(make: Make) -> tuple[Manifest, Chunk]:
    manifest, image, label, names = records_of(make())
    return manifest, Chunk(image, label, ids_of(names))


def cut(chunk: Chunk, sizes: list[int]) -> Iterator[Chunk]:
    first = 0
    for size in sizes:
        yield Chunk(*(array[first : first + size] for array in chunk))
        first += size


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [4, 0, 4, 3], [0, 0, 11, 0]])
@pytest.mark.parametrize("takes", [[11], [3, 0, 5, 3], [1] * 11, [20]])
def test_any_cut(sizes: list[int], takes: list[int], whole: tuple[Manifest, Chunk]) -> None:
    manifest, chunk = whole
    stream = RecordStream(cut(chunk, sizes), manifest)
    taken = [stream.take(count) for count in takes]
    assert [len(piece.label) for piece in taken] == [min(count, 11) for count in takes]
    for found, expected in zip(map(np.concatenate, zip(*taken, strict=True)), chunk, strict=True):
        np.testing.assert_array_equal(found, expected)
    stream.finish()
    expected_hash = hashlib.sha256()
    for image, label, name in zip(*chunk, strict=True):
        expected_hash.update(image.tobytes() + int(label).to_bytes(4, "little") + name.tobytes())
    assert stream.sha256 == expected_hash.hexdigest()


def test_iteration_gives_what_is_left(whole: tuple[Manifest, Chunk]) -> None:
    manifest, chunk = whole
    stream = RecordStream(cut(chunk, [5, 6]), manifest)
    stream.take(2)
    (rest,) = stream
    np.testing.assert_array_equal(rest.image, chunk.image[2:])


@pytest.mark.parametrize(("sizes", "said"), [([10], "found only 10"), ([11, 1], "found more")])
def test_the_count_must_be_right(sizes: list[int], said: str, whole: tuple[Manifest, Chunk]) -> None:
    manifest, chunk = whole
    twice = Chunk(*(np.concatenate([array, array]) for array in chunk))
    stream = RecordStream(cut(twice, sizes), manifest)
    stream.take(11)
    with pytest.raises(DataError, match=said):
        stream.finish()


def test_images_and_labels_must_be_right(whole: tuple[Manifest, Chunk]) -> None:
    manifest, (image, label, ids) = whole
    for wrong, said in (
        (Chunk(image[:, :4], label, ids), r"expected images uint8\[8, 12, 3\], found uint8\[4, 12, 3\]"),
        (Chunk(image.astype(np.int32), label, ids), r"found int32\[8, 12, 3\]"),
        (Chunk(image, label + 6, ids), "outside 0..5"),
    ):
        with pytest.raises(DataError, match=said):
            RecordStream(iter([wrong]), manifest).take(1)


def test_ids_and_their_names(make: Make) -> None:
    *_, names = records_of(make())
    assert names_of(ids_of(names)) == names
    assert ids_of([]).shape == (0, 16)
    for wrong in ("ab", "g" * 32, "0" * 34):
        with pytest.raises(ValueError):
            ids_of([wrong])


def test_the_hash_is_that_of_the_documentation(tmp_path: Path, make: Make) -> None:
    """Another program finds it with nothing but the records."""
    manifest, image, label, names = records_of(make())
    stream = RecordStream(iter([Chunk(image, label, ids_of(names))]), manifest)
    list(stream)
    data = b"".join(
        one.tobytes() + np.int32(number).tobytes() + bytes.fromhex(name)
        for one, number, name in zip(image, label, names, strict=True)
    )
    assert stream.sha256 == hashlib.sha256(data).hexdigest()
