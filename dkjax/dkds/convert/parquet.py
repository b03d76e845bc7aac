"""Parquet files as Hugging Face keeps images in them: PNG bytes, and the features in the schema's metadata."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.dkds import Manifest
from dkjax.dkds.convert.container import Container, check_is_picture, unreadable
from dkjax.dkds.convert.png import decode_png, encode_png
from dkjax.dkds.convert.stream import Chunk, RecordStream, ids_of, names_of, rows_at_a_time
from dkjax.errors import DataError
from dkjax.runtime.threads import on_all_cores


class ParquetContainer(Container):
    """A folder that `datasets.load_dataset` reads: one Parquet file for each shard that has records."""

    name = "parquet"
    title = "Hugging Face Parquet"

    def check(self, manifest: Manifest) -> None:
        """Refuse what PNG cannot hold."""
        check_is_picture(manifest, self.title)

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write `data/train-00000-of-0000N.parquet`, ..."""
        import pyarrow.parquet as pq

        (folder / "data").mkdir()
        counts = [entry.records for entry in manifest.shards if entry.records]
        schema = _schema(manifest)
        rows = rows_at_a_time(manifest)
        for number, count in enumerate(counts):
            file = folder / "data" / f"train-{number:05d}-of-{len(counts):05d}.parquet"
            # Checksums, which readers may compare: by default a flipped bit in Parquet is silent.
            with pq.ParquetWriter(file, schema, write_page_checksum=True) as writer:
                for first in range(0, count, rows):
                    chunk = records.take(min(rows, count - first))
                    writer.write_table(_table(chunk, schema))

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read the files in the order of their names."""
        import pyarrow.parquet as pq

        files = sorted(path.glob("data/*.parquet"))
        if not files:
            raise DataError(f"{path} has no data/*.parquet: copy it again")
        for file in files:
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as table:
                    for batch in table.iter_batches(rows_at_a_time(manifest), columns=["image", "label", "id"]):
                        yield _chunk(batch.to_pydict(), manifest)
            except Exception as error:
                raise unreadable(file, error) from error

    def how_to_read(self, path: Path) -> str:
        """Name the loader."""
        return f'datasets.load_dataset("{path}", split="train")'


def _schema(manifest: Manifest) -> Any:
    import pyarrow as pa

    features = {
        "image": {"_type": "Image"},
        "label": {"names": manifest.class_names, "_type": "ClassLabel"},
        "id": {"dtype": "string", "_type": "Value"},
    }
    return pa.schema(
        {"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64(), "id": pa.string()},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _table(chunk: Chunk, schema: Any) -> Any:
    import pyarrow as pa

    images = [{"bytes": data, "path": None} for data in on_all_cores(encode_png, chunk.image)]
    return pa.table({"image": images, "label": chunk.label, "id": names_of(chunk.id)}, schema=schema)


def _chunk(columns: dict[str, list[Any]], manifest: Manifest) -> Chunk:
    images = on_all_cores(lambda cell: decode_png(cell["bytes"], manifest.image_shape), columns["image"])
    return Chunk(np.stack(images), np.array(columns["label"]), ids_of(columns["id"]))
