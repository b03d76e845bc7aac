"""There and back is the same data set; what is another one is refused; a folder is there whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odd_data_sets import Make, contents, records_of
from PIL import Image

from dkjax.dkds import layout
from dkjax.dkds.convert import CONTAINERS, convert_data_set
from dkjax.errors import ConfigError, DamagedDataSetError, DataError
from dkjax.runtime.files import write_json

EXPORTS = [name for name in CONTAINERS if name not in ("dkds", "packed")]
each_export = pytest.mark.parametrize("to", EXPORTS)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


# There and back


@each_export
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back(to: str, channels: int, make: Make, tmp_path: Path) -> None:
    dkds = make(empty_shard=1, shape=(8, 12, channels))
    there = convert_data_set(dkds, to, tmp_path / "there")
    assert (there.source.name, there.target.name) == ("dkds", to)
    # The original is not needed for the way back.
    before = contents(dkds)
    shutil.rmtree(dkds)
    back = convert_data_set(tmp_path / "there", "dkds", tmp_path / "back.dkds")
    assert (back.source.name, back.target.name) == (to, "dkds")
    assert contents(tmp_path / "back.dkds") == before


def test_from_any_format_to_any_other(dkds: Path, tmp_path: Path) -> None:
    path = dkds
    for number, to in enumerate(("png", "tfds", "packed", "png", "parquet", "packed", "dkds", "dkds")):
        path, before = tmp_path / f"{number}{'.dkds' * (to in ('dkds', 'packed'))}", path
        convert_data_set(before, to, path)
    assert contents(path) == contents(dkds)
    assert contents(tmp_path / "0") == contents(tmp_path / "3")
    assert contents(tmp_path / "2.dkds") == contents(tmp_path / "5.dkds")


@each_export
def test_a_renamed_export_is_known_by_its_contents(to: str, dkds: Path, tmp_path: Path) -> None:
    convert_data_set(dkds, to, tmp_path / "export")
    (tmp_path / "export").rename(tmp_path / "other.v2")
    assert convert_data_set(tmp_path / "other.v2", "dkds", tmp_path / "back.dkds").source.name == to


@each_export
def test_nothing_tells_more_than_the_data_set(to: str, dkds: Path, tmp_path: Path) -> None:
    convert_data_set(dkds, to, tmp_path / "export")
    for name, data in contents(tmp_path / "export").items():
        assert str(tmp_path).encode() not in data, name


def test_progress_is_reported(dkds: Path, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    convert_data_set(dkds, "png", tmp_path / "export", lambda *counts: reported.append(counts))
    assert reported[-1] == (7, 7)
    assert [total for _, total in reported] == [7] * len(reported)


# What is not what was exported


def rewrite_parquet(path: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Change the rows of the first file."""
    file = min((path / "data").iterdir())
    table = pq.read_table(file)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), file)


def rewrite_tfds(path: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    """Change the records of the first file, as a pipeline of TFDS would write them."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    builder = tfds.builder_from_directory(path / "dkds/1.0.0")
    serializer = tfds.core.example_serializer.ExampleSerializer(builder.info.features.get_serialized_info())
    file = min((path / "dkds/1.0.0").glob("*.array_record-*"))
    records = list(builder.as_data_source("train"))[: builder.info.splits["train"].shard_lengths[0]]
    rows = [{**record, "id": record["id"].decode()} for record in records]
    writer = ArrayRecordWriter(str(file), "group_size:1")
    for row in change(rows):
        writer.write(serializer.serialize_example(builder.info.features.encode_example(row)))
    writer.close()


def rewrite_png(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of the list of records."""
    file = path / "dkds.records"
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))


def change_pixel(path: Path) -> None:
    file = min(path.rglob("*.png"))
    pixels = np.array(Image.open(file))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(file)


def reencode(path: Path) -> None:
    file = min(path.rglob("*.png"))
    Image.open(file).save(file, "JPEG")


def move_to_another_class(path: Path) -> None:
    file = min(path.rglob("*.png"))
    other = path / "train" / "moved"
    other.mkdir()
    file.rename(other / file.name)


def add_file(path: Path) -> None:
    shutil.copy(min(path.rglob("*.png")), path / "train" / "mine.png")


def each_row(rows: list[dict], **changes: Callable) -> list[dict]:
    return [{name: changes.get(name, lambda value: value)(value) for name, value in row.items()} for row in rows]


def new_id(line: str) -> str:
    return "0" * 32 + line[32:]


CHANGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "tfds, order": ("tfds", lambda path: rewrite_tfds(path, lambda rows: rows[::-1]), "is not what was exported"),
    "tfds, label": (
        "tfds",
        lambda path: rewrite_tfds(path, lambda rows: each_row(rows, label=lambda label: (label + 1) % 6)),
        "is not what was exported",
    ),
    "tfds, pixel": (
        "tfds",
        lambda path: rewrite_tfds(path, lambda rows: each_row(rows, image=lambda image: image ^ 1)),
        "is not what was exported",
    ),
    "tfds, id": (
        "tfds",
        lambda path: rewrite_tfds(path, lambda rows: each_row(rows, id=new_id)),
        "is not what was exported",
    ),
    "tfds, no id": ("tfds", lambda path: rewrite_tfds(path, lambda rows: each_row(rows, id=lambda _: "x")), "read"),
    "tfds, file gone": ("tfds", lambda path: min(path.glob("dkds/1.0.0/*-00000")).unlink(), "cannot be read"),
    "tfds, all gone": ("tfds", lambda path: shutil.rmtree(path / "dkds"), "cannot be read"),
    "parquet, order": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: rows[::-1]),
        "is not what was exported",
    ),
    "parquet, label": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: each_row(rows, label=lambda label: label ^ 1)),
        "is not what was exported",
    ),
    "parquet, wild label": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: each_row(rows, label=lambda label: label + 2**32)),
        "outside 0..5",
    ),
    "parquet, no image": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: each_row(rows, image=lambda _: None)),
        "cannot be read",
    ),
    "parquet, id": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: each_row(rows, id=new_id)),
        "is not what was exported",
    ),
    "parquet, fewer": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: rows[:-1]),
        "found only 6: records were added or lost",
    ),
    "parquet, more": (
        "parquet",
        lambda path: rewrite_parquet(path, lambda rows: [*rows, rows[0]]),
        "found more: records were added or lost",
    ),
    "parquet, no rows": ("parquet", lambda path: rewrite_parquet(path, lambda rows: []), "found only 3"),
    "parquet, gone": ("parquet", lambda path: shutil.rmtree(path / "data"), r"has no data/\*\.parquet"),
    "parquet, damaged": (
        "parquet",
        lambda path: min((path / "data").iterdir()).write_bytes(b"PAR1 and no more PAR1"),
        "cannot be read",
    ),
    "png, pixel": ("png", change_pixel, "is not what was exported"),
    "png, JPEG": ("png", reencode, "cannot be read"),
    "png, class": ("png", move_to_another_class, "is missing: its record was removed, renamed or given another class"),
    "png, added": ("png", add_file, "files were added to it; encrypt images of your own with dkjax encrypt"),
    "png, removed": ("png", lambda path: min(path.rglob("*.png")).unlink(), "is missing"),
    "png, order": ("png", lambda path: rewrite_png(path, lambda lines: lines[::-1]), "is not what was exported"),
    "png, fewer": ("png", lambda path: rewrite_png(path, lambda lines: lines[1:]), "found only 6"),
    "png, wild line": ("png", lambda path: rewrite_png(path, lambda lines: ["../../a 1\n"]), "no `ID LABEL`"),
    "png, wild label": (
        "png",
        lambda path: rewrite_png(path, lambda lines: [line[:33] + "99\n" for line in lines]),
        "outside 0..5",
    ),
    "png, no list": ("png", lambda path: (path / "dkds.records").unlink(), "dkds.records is missing"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(change: str, dkds: Path, tmp_path: Path) -> None:
    container, apply, said = CHANGES[change]
    export = tmp_path / "export"
    convert_data_set(dkds, container, export)
    apply(export)
    with pytest.raises(DataError, match=said) as caught:
        convert_data_set(export, "dkds", tmp_path / "back.dkds")
    one_line(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dkds", "export"]


def test_a_damaged_data_set_is_not_exported(dkds: Path, tmp_path: Path) -> None:
    file = dkds / layout.shard_name(2)
    data = bytearray(file.read_bytes())
    _, images, *_ = records_of(dkds)
    data[data.index(images[4].tobytes())] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedDataSetError, match="record 0 is damaged") as caught:
        convert_data_set(dkds, "png", tmp_path / "export")
    assert (caught.value.kind, caught.value.shard, caught.value.record) == ("record-crc", 2, 0)
    assert not (tmp_path / "export").exists()


# What cannot be converted


def test_plain_images_are_refused(dkds: Path, tmp_path: Path) -> None:
    convert_data_set(dkds, "parquet", tmp_path / "export")
    (tmp_path / "export" / "dkds.json").unlink()
    with pytest.raises(DataError) as caught:
        convert_data_set(tmp_path / "export", "dkds", tmp_path / "b.dkds")
    assert one_line(caught.value) == (
        f"{tmp_path / 'export'} has no dkds.json, so nothing says that its images were ever encrypted, and they get no "
        "name that does: encrypt them with dkjax encrypt"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: tree.update(format="other"), "does not describe an export"),
        (lambda tree: tree.update(version=2), "in version 2"),
        (lambda tree: tree.pop("manifest"), "'manifest' is missing"),
        (lambda tree: tree.update(records_sha256=7), "does not describe an export"),
        (lambda tree: tree.update(records_sha256="0" * 63), "records_sha256 is wrong"),
        (lambda tree: tree.update(records_sha256="0" * 64), "is not what was exported"),
        (lambda tree: tree.update(container="zip"), "in the format 'zip', which this dkjax does not know"),
        (lambda tree: tree.update(container="dkds"), "is no encrypted data set"),
        (lambda tree: tree["manifest"].update(records=8), "hold 7 records, not 8"),
        (lambda tree: tree["manifest"]["image"].update(shape=[8, 12, 4]), r"expected images uint8\[8, 12, 4\]"),
    ],
)
def test_a_wrong_description_is_refused(
    change: Callable[[dict], object], said: str, dkds: Path, tmp_path: Path
) -> None:
    convert_data_set(dkds, "tfds", tmp_path / "export")
    file = tmp_path / "export" / "dkds.json"
    tree = json.loads(file.read_text())
    tree.pop("checksum")
    change(tree)
    write_json(file, tree)
    with pytest.raises(DataError, match=said) as caught:
        convert_data_set(tmp_path / "export", "dkds", tmp_path / "b.dkds")
    one_line(caught.value)
    assert not (tmp_path / "b.dkds").exists()


def test_swapped_classes_are_refused(dkds: Path, tmp_path: Path) -> None:
    convert_data_set(dkds, "tfds", tmp_path / "export")
    file = tmp_path / "export" / "dkds.json"
    tree = json.loads(file.read_text())
    tree["manifest"]["class_names"].reverse()
    file.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"does not describe an export \(.*dkds\.json is damaged\): copy it again"):
        convert_data_set(tmp_path / "export", "dkds", tmp_path / "b.dkds")


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_a_description_that_is_no_json_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "dkds.json").write_bytes(text)
    with pytest.raises(DataError, match="does not describe an export") as caught:
        convert_data_set(tmp_path / "export", "dkds", tmp_path / "b.dkds")
    one_line(caught.value)


@pytest.mark.parametrize("to", ["png", "parquet"])
def test_pictures_have_one_or_three_channels(to: str, make: Make, tmp_path: Path) -> None:
    dkds = make(shape=(4, 4, 4))
    with pytest.raises(ConfigError, match="1 or 3 channels, not 4: convert --to tfds") as caught:
        convert_data_set(dkds, to, tmp_path / "export")
    one_line(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dkds"]


def test_wrong_places_are_refused(dkds: Path, tmp_path: Path) -> None:
    for source, to, out, said in (
        (tmp_path / "absent", "png", tmp_path / "b", "there is no folder"),
        (dkds, "zip", tmp_path / "b", "there is no format 'zip': choose one of dkds, tfds, parquet, png"),
        (dkds, "png", tmp_path / "b.dkds", r"of nothing else, ends in \.dkds"),
        (dkds, "dkds", tmp_path / "b", r"of nothing else, ends in \.dkds"),
        (dkds, "packed", tmp_path / "b", r"of nothing else, ends in \.dkds"),
        (dkds, "dkds", dkds, "exists and was left as it is"),
        (dkds, "png", dkds / "png", "lies within"),
    ):
        with pytest.raises((ConfigError, DataError), match=said) as caught:
            convert_data_set(source, to, out)
        one_line(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dkds"]


def test_an_unfinished_data_set_is_refused(dkds: Path, tmp_path: Path) -> None:
    (dkds / layout.COMMIT).unlink()
    with pytest.raises(DamagedDataSetError, match="is not a finished data set"):
        convert_data_set(dkds, "png", tmp_path / "b")
