"""From JPEG files to an encrypted data set, against decoding the same files and nothing else.

python benchmarks/photos.py
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from script import AsJson, app, say, show

from dkjax.bench.table import TIMES, Tables, times
from dkjax.bench.timing import Timing, take_turns
from dkjax.cipher import schemes
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.client.upload import records_at_a_time
from dkjax.config import KeysConfig
from dkjax.dkds import layout
from dkjax.runtime import machine
from dkjax.sources.image_folder import ImageFolderSource

WIDTH, HEIGHT = 500, 375
"""The size of the photographs, about that of ImageNet."""

DECODING, ENCRYPTING = "decoding", "dkjax encrypt"


def measure_photos(
    *, images: int = 1024, size: int = 224, rounds: int = 5, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure what reading, decoding, resizing, encrypting and writing photographs costs beside the first three alone.

    The files lie in a temporary folder (see `TMPDIR`), and the data set is written beside them.

    Args:
        images: how many photographs.
        size: side of the images after resizing.
        rounds: timed runs of both, which take turns.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, and a row for each contender: seconds of the first run, median and fastest of the
        others, images per second by the median, and the time as a share of decoding alone.
    """
    say(f"{images:,} JPEG files of {WIDTH} x {HEIGHT} pixels")
    with tempfile.TemporaryDirectory(prefix="dkjax-photos-") as folder:
        _write_photos(Path(folder) / "photos", images)
        source = ImageFolderSource(Path(folder) / "photos", (size, size))
        order = Order(scheme=schemes.disposable(16), keys=KeysConfig())

        def decode(_: int) -> None:
            for first in range(0, images, records_at_a_time(source.image_shape)):
                source[first : first + records_at_a_time(source.image_shape)]

        def encrypt(run: int) -> None:
            encrypt_data_set(source, Path(folder) / f"{run}{layout.SUFFIX}", order)

        timings = take_turns({DECODING: decode, ENCRYPTING: encrypt}, rounds)
    alone = timings[DECODING]
    rows = [_row(name, timing, alone, images) for name, timing in timings.items()]
    return {
        "bench": "photos",
        **machine.describe(),
        "images": images,
        "size": size,
        "rounds": rounds,
        "contenders": rows,
    }


def _row(name: str, timing: Timing, alone: Timing, images: int) -> dict[str, Any]:
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": images / timing.median,
        "times_decoding": timing.median / alone.median,
    }


def _write_photos(folder: Path, images: int) -> None:
    """Write files that cost a decoder what photographs do: smooth shapes and a little noise."""
    random = np.random.default_rng(0)
    for name in ("one", "other"):
        (folder / name).mkdir(parents=True)
    coarse = random.integers(0, 256, (32, 12, 16, 3), np.uint8)
    smooth = [np.asarray(Image.fromarray(one).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for one in coarse]
    grain = random.integers(-12, 13, (HEIGHT, WIDTH, 3))
    for i in range(images):
        photo = np.clip(np.roll(smooth[i % 32], i, axis=1) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / ("one", "other")[i % 2] / f"{i}.jpg", quality=90)


def tables(result: dict[str, Any]) -> Tables:
    """Make a table of what `measure_photos` returned."""
    rows = [
        (row["name"], f"{row['images_per_second']:,.0f}", f"{row['times_decoding']:.2f}", *times(row))
        for row in result["contenders"]
    ]
    title = f"{result['images']:,} JPEG files, {result['size']} px after resizing"
    yield title, ("images/s", "times\ndecoding", *TIMES), rows


def main(
    context: typer.Context,
    images: Annotated[int, typer.Option(min=1, help="How many photographs.")] = 1024,
    size: Annotated[int, typer.Option(min=16, metavar="PX", help="Side of the images, a multiple of 16.")] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure encrypting a folder of JPEG files, against decoding them alone.

    Writes the files and the data sets into a temporary folder.
    """
    show(measure_photos(images=images, size=size, rounds=repeats, say=say), tables, as_json)


if __name__ == "__main__":
    app(main)()
