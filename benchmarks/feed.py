"""Feeding training: a batch from an encrypted data set, against the same records in memory and in ArrayRecord files.

python benchmarks/feed.py
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from random_data_set import write_random
from script import AsJson, app, say, show

from dkjax.bench.table import TIMES, Tables, times
from dkjax.bench.timing import Timing, take_turns
from dkjax.dkds import EncryptedDataSet, layout
from dkjax.errors import ConfigError
from dkjax.input.order import StepOrder, uniform_order
from dkjax.input.record_pool import RecordPool
from dkjax.runtime import machine
from dkjax.sources.source import Records

IMAGES = {32: 100_000, 224: 5_000}
"""The image sizes that are measured, and how many images of each there are."""

BATCHES = (256, 1024)
CHANNELS = 3
SHARDS, TO_DEVICE, MEMORY = "dkjax, shards", "dkjax, shards, to the device", "dkjax, in memory"
ARRAY_RECORD, ARRAY_RECORD_BATCH = "ArrayRecord, one by one", "ArrayRecord, batch at once"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is fed: batches of so many images, drawn from a data set of so many."""

    size: int
    images: int
    batch: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image."""
        return self.size, self.size, CHANNELS

    @property
    def shard_images(self) -> int:
        """Images in a shard: as many as `dkjax encrypt` takes."""
        return layout.default_shard_images(self.shape)

    def __str__(self) -> str:
        """Say it in a line."""
        shards = -(-self.images // self.shard_images)
        return f"{self.size} px, batches of {self.batch:,} from {self.images:,} images in {shards} shards"


def cases(sizes: Sequence[int] = (), batches: Sequence[int] = (), images: int | None = None) -> list[Case]:
    """List what is measured.

    Args:
        sizes: of `IMAGES`; all by default.
        batches: images of a batch; those of `BATCHES` by default.
        images: how many images there are to draw from; by default those of `IMAGES`.

    Returns:
        The cases, by size and batch.

    Raises:
        ConfigError: a size is not one of those.
    """
    for size in sizes:
        if size not in IMAGES:
            raise ConfigError(f"--size {size} is not one of {', '.join(map(str, IMAGES))}")
    return [Case(size, images or IMAGES[size], batch) for size in sizes or IMAGES for batch in batches or BATCHES]


def measure_feed(
    listed: Sequence[Case], *, rounds: int = 15, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure the way from a step's number to its batch in memory, labels included.

    Data sets and ArrayRecord files are generated in a temporary folder (see `TMPDIR`), and read once before anything is
    timed: what is measured is reading from the page cache, not the disk.

    Args:
        listed: what is fed, at least one case.
        rounds: timed batches of each contender, which take turns.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, and `cases` with a row for each contender: seconds of the first batch, median and
        fastest of the others, images and bytes per second by the median, and how many times as fast as ArrayRecord
        record by record.
    """
    measured = []
    for size, images in dict.fromkeys((case.size, case.images) for case in listed):
        own = [case for case in listed if (case.size, case.images) == (size, images)]
        say(f"{size} px: writing {images:,} images twice")
        with tempfile.TemporaryDirectory(prefix="dkjax-feed-") as folder:
            data_set, array_record = _write(own[0], Path(folder))
            in_memory = RecordPool([data_set[:]])
            for case in own:
                say(str(case))
                measured.append(_measure(case, data_set, in_memory, array_record, rounds))
    return {"bench": "feed", **machine.describe(), "rounds": rounds, "cases": measured}


def _measure(
    case: Case, data_set: EncryptedDataSet, in_memory: RecordPool, array_record: Any, rounds: int
) -> dict[str, Any]:
    order = uniform_order(case.images, case.batch, seed=0)
    device = jax.devices()[0]
    contenders = {
        SHARDS: lambda step: data_set[order(step)],
        TO_DEVICE: lambda step: jax.device_put(data_set[order(step)], device),
        MEMORY: lambda step: in_memory[order(step)],
        ARRAY_RECORD: lambda step: one_by_one(array_record, order, step, case.shape),
        ARRAY_RECORD_BATCH: lambda step: at_once(array_record, order, step, case.shape),
    }
    timings = take_turns(contenders, rounds)
    return {
        **dataclasses.asdict(case),
        "shards": len(data_set.shards),
        "contenders": [_row(name, timing, case, timings[ARRAY_RECORD]) for name, timing in timings.items()],
    }


def one_by_one(array_record: Any, order: StepOrder, step: int, shape: tuple[int, ...]) -> Records:
    """Read a step's batch record by record, as data loaders do that know nothing of batches."""
    return _stack([array_record[index] for index in order(step).tolist()], shape)


def at_once(array_record: Any, order: StepOrder, step: int, shape: tuple[int, ...]) -> Records:
    """Read a step's batch by the one call that ArrayRecord has for several records."""
    return _stack(array_record.__getitems__(order(step).tolist()), shape)


def _stack(records: Sequence[bytes], shape: tuple[int, ...]) -> Records:
    """Make a batch of records, each the bytes of an image and of its label."""
    size = int(np.prod(shape))
    images = np.stack([np.frombuffer(record, np.uint8, size).reshape(shape) for record in records])
    return {"image": images, "label": np.array([np.frombuffer(record, "<i4", 1, size)[0] for record in records])}


def _row(name: str, timing: Timing, case: Case, array_record: Timing) -> dict[str, Any]:
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": case.batch / timing.median,
        "gigabytes_per_second": case.batch * int(np.prod(case.shape)) / timing.median / 1e9,
        "times_array_record": array_record.median / timing.median,
    }


def _write(case: Case, folder: Path) -> tuple[EncryptedDataSet, Any]:
    """Write the same random records as a data set and as ArrayRecord files, a file a shard, and read each once."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from array_record.python.array_record_module import ArrayRecordWriter

    files: list[str] = []

    def write_records(shard: Records) -> None:
        files.append(str(folder / f"{len(files)}.array_record"))
        # Random bytes do not compress, and to try costs ArrayRecord time.
        to = ArrayRecordWriter(files[-1], "group_size:1,uncompressed")
        for one, its_label in zip(shard["image"], shard["label"].astype("<i4"), strict=True):
            to.write(one.tobytes() + its_label.tobytes())
        to.close()

    data_set = write_random(
        folder / f"records{layout.SUFFIX}",
        case.shape,
        case.images,
        block_size=4 if case.size < 64 else 16,
        also=write_records,
    )
    array_record = ArrayRecordDataSource(files)
    for index in range(case.images):
        array_record[index]
    return data_set, array_record


def tables(result: dict[str, Any]) -> Tables:
    """Make a table of each case that `measure_feed` returned."""
    for case in result["cases"]:
        rows = [
            (
                row["name"],
                f"{row['images_per_second']:,.0f}",
                f"{row['gigabytes_per_second']:.2f}",
                f"{row['times_array_record']:.1f}",
                *times(row),
            )
            for row in case["contenders"]
        ]
        title = str(Case(case["size"], case["images"], case["batch"]))
        yield title, ("images/s", "GB/s", "times\nArray-\nRecord", *TIMES), rows


def main(
    context: typer.Context,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", metavar="PX", help="Side of the images, 32 or 224; may be repeated. Both."),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images of a batch; may be repeated. 256 and 1024."),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to draw from; 100 000 of 32 px, 5 000 of 224 px.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed batches of each contender.")] = 15,
    as_json: AsJson = False,
) -> None:
    """Measure how fast batches come from encrypted data sets, against the same records in ArrayRecord files.

    Writes both into a temporary folder, about 2.2 GB, and reads them once before: the page cache is measured, not the
    disk.
    """
    show(measure_feed(cases(sizes or (), batches or (), images), rounds=repeats, say=say), tables, as_json)


if __name__ == "__main__":
    app(main)()
