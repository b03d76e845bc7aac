"""A table in a CSV or Parquet file, as text by column."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from dkjax.errors import DataError, MissingPackageError
from dkjax.runtime.files import special_file

_DELIMITERS = ",;\t|"


def read_table(path: Path) -> Mapping[str, list[str]]:
    """Read a table.

    Args:
        path: a CSV file in UTF-8 (or UTF-16 with its mark) whose first line names the columns, with commas, semicolons,
            tabs or bars between them; JSON lines (`.jsonl`), an object a row; or a Parquet file.

    Returns:
        The values of each column as text without spaces around it, all of one length; empty where there is none.

    Raises:
        DataError: the file is missing or damaged, has no row, or a row of another length.
        MissingPackageError: a Parquet file, and pyarrow is not installed.

    Guarantees:
        - a CSV as spreadsheets write it, in any of these ways, gives the same
          (`tests/sources/test_text_table.py::test_ways_to_write_a_table`).
    """
    if not path.exists():
        raise DataError(f"no file {path}")
    if not path.is_file():
        raise DataError(f"{path} is {special_file(path) or 'a folder'}; expected a table, .csv or .parquet")
    read = {".parquet": _parquet, ".jsonl": _json_lines}.get(path.suffix.lower(), _csv)
    columns = read(path)
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{path} has no row; expected a line that names the columns, then a line for each image")
    return columns


def _csv(path: Path) -> dict[str, list[str]]:
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    heading = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=heading.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if any(row)]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}") from None
    if not rows:
        return {}
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names):
        raise DataError(f"{path} has two columns of one name: {', '.join(names)}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise DataError(f"{path}, row {number}: {len(row)} values, but {len(names)} columns ({', '.join(names)})")
    return {name: [row[place].strip() for row in rows[1:]] for place, name in enumerate(names)}


def _json_lines(path: Path) -> dict[str, list[str]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        names = {name: None for row in rows for name in row}
        return {name: [_as_text(row.get(name)) for row in rows] for name in names}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, an object a line: {' '.join(str(error).split())}") from None


def _as_text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _parquet(path: Path) -> dict[str, list[str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackageError(f"{path} needs pyarrow, which is not installed: pip install pyarrow") from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file: {' '.join(str(error).split())}") from None
    return {name: [_as_text(value) for value in table.column(name).to_pylist()] for name in table.column_names}
