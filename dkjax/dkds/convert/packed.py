"""The packed data set, `NAME.dkds` as it is handed over: `dkjax.dkds.packed`."""

from collections.abc import Iterator
from pathlib import Path

from dkjax.dkds import Manifest, layout
from dkjax.dkds.convert.container import Container
from dkjax.dkds.convert.stream import Chunk, RecordStream
from dkjax.dkds.growing_shard import entry_of_records
from dkjax.dkds.packed import open_packed, read_packed, write_packed_shard
from dkjax.dkds.writer import write_manifest
from dkjax.sources.source import Records


class PackedContainer(Container):
    """A tenth of the bytes for sorted blocks of photographs; unpacked once, and then read as before."""

    name = "packed"
    title = "a packed data set"

    def check(self, manifest: Manifest) -> None:
        """Any data set can be packed."""

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write packed shards, manifest and COMMIT."""
        entries = []
        for number, entry in enumerate(manifest.shards):
            image, label, ids = records.take(entry.records)
            taken: Records = {"image": image, "label": label}
            # The same records in a shard that another program wrote may have been other bytes.
            entries.append(entry_of_records(number, taken, ids, manifest.id))
            write_packed_shard(folder, number, taken, ids, manifest.scheme.block_size)
        write_manifest(folder, manifest.model_copy(update={"shards": entries}))

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read one shard after the other, each compared with the manifest."""
        open_packed(path)
        for number in range(len(manifest.shards)):
            records, ids = read_packed(path, number, manifest)
            yield Chunk(records["image"], records["label"], ids)

    def how_to_read(self, path: Path) -> str:
        """Name the command that unpacks it."""
        return f"dkjax convert {path} --to dkds --out NAME{layout.SUFFIX}"
