"""Tables as spreadsheets and programs write them."""

import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from dkjax.errors import DataError, MissingPackageError
from dkjax.sources.text_table import read_table

COLUMNS = {"filename": ["a, b.png", "c.png"], "label": ["Größe", ""], "fold": ["1", "2"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'filename,label,fold\n"a, b.png",Größe,1\nc.png,,2\n'.encode()),
        ("a.csv", '\ufefffilename, label ,fold\r\n"a, b.png",Größe,1\r\n\r\nc.png,,2\r\n'.encode()),
        ("a.csv", "filename;label;fold\na, b.png;Größe;1\nc.png;;2".encode()),
        (
            "a.jsonl",
            '{"filename": "a, b.png", "label": "Größe", "fold": 1}\n{"filename": "c.png", "fold": 2}\n'.encode(),
        ),
        ("a.tsv", "filename\tlabel\tfold\na, b.png\tGröße\t1\nc.png\t\t2\n".encode("utf-16")),
    ],
)
def test_ways_to_write_a_table(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name) == COLUMNS


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pyarrow.table({"filename": ["a, b.png", "c.png"], "label": ["Größe", None], "fold": [1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet") == COLUMNS
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"b\.parquet is no Parquet file"):
        read_table(tmp_path / "b.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no row"),
        (b"file,label\n", "has no row"),
        (b"file,label\na,b,c\n", "row 2: 3 values, but 2 columns"),
        (b"file,file\na,b\n", "two columns of one name"),
        (b'file,label\n"a,b\n', "is no CSV"),
        ("file,label\nä,b\n".encode("latin-1"), "is not text in UTF-8"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("content", ["[1]", "{", '"a"', "[" * 100_000])
def test_what_is_no_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match="is not JSON, an object a line"):
        read_table(tmp_path / "a.jsonl")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv is a named pipe"):
        read_table(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="no file"):
        read_table(tmp_path / "absent.csv")
