"""The encrypted data set itself, `NAME.dkds`."""

from collections.abc import Iterator
from pathlib import Path

from dkjax.dkds import Manifest, layout, open_data_set
from dkjax.dkds.convert.container import Container
from dkjax.dkds.convert.stream import Chunk, RecordStream, rows_at_a_time
from dkjax.dkds.growing_shard import write_shard
from dkjax.dkds.shard import record_crcs
from dkjax.dkds.writer import write_manifest
from dkjax.errors import DamagedDataSetError


class DkdsContainer(Container):
    """The format of `dkjax encrypt`. What comes back has the id it had, and the same records in the same shards."""

    name = "dkds"
    title = "an encrypted data set"

    def check(self, manifest: Manifest) -> None:
        """Raise nothing."""

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write shards, manifest and COMMIT."""
        entries = []
        for number, entry in enumerate(manifest.shards):
            image, label, ids = records.take(entry.records)
            entries.append(write_shard(folder, number, {"image": image, "label": label}, ids, manifest.id))
        # The same records in a file that another program wrote may be other bytes.
        write_manifest(folder, manifest.model_copy(update={"shards": entries}))

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read all records and compare their checksums."""
        rows = rows_at_a_time(manifest)
        for number, shard in enumerate(open_data_set(path).shards):
            for first in range(0, len(shard.label), rows):
                part = slice(first, first + rows)
                chunk = Chunk(shard.image[part], shard.label[part], shard.id[part])
                damaged = record_crcs(chunk.image, chunk.label, chunk.id) != shard.crc32[part]
                if damaged.any():
                    file = path / layout.shard_name(number)
                    record = first + int(damaged.argmax())
                    problem = f"{file}: record {record} is damaged: copy the file again"
                    raise DamagedDataSetError("record-crc", problem, shard=number, record=record)
                yield chunk

    def how_to_read(self, path: Path) -> str:
        """Name dkjax's own way."""
        return f'dkjax.dkds.open_data_set(Path("{path}"))'
