"""From JPEG files to an encrypted data set, against decoding the same files and nothing else.

python benchmarks/photos.py
python benchmarks/photos.py --width 1200 --height 900 --images 128 --photographs FOLDER
"""

import itertools
import math
import shutil
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import typer
from PIL import Image, ImageOps
from script import AsJson, app, say, show

from dkjax.attacks.ssim import ssim
from dkjax.bench.table import TIMES, Tables, times
from dkjax.bench.timing import Contender, Timing, take_turns
from dkjax.cipher import schemes
from dkjax.cipher.chunks import chunk_size
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.config import KeysConfig
from dkjax.dkds import layout
from dkjax.errors import ConfigError
from dkjax.runtime import machine
from dkjax.sources.image_folder import ImageFolderSource
from dkjax.sources.preparation import Decode, Preparation

DECODING, ENCRYPTING = "decoding", "dkjax encrypt"


def measure_photos(
    *,
    images: int = 1024,
    photo: tuple[int, int] = (500, 375),
    photographs: Path | None = None,
    size: int = 224,
    rounds: int = 5,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure what reading, decoding, resizing, encrypting and writing photographs costs beside the first three alone.

    The files are in a temporary folder (see `TMPDIR`), and the data set is written beside them.

    Args:
        images: how many photographs.
        photo: their width and height; by default about those of ImageNet.
        photographs: a folder of JPEG files, which are cut and resized to these; by default they are made up, with more
            noise than a camera's, which takes longer to decode.
        size: side of the images after resizing.
        rounds: timed runs of each contender, which take turns.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, and a row for each contender, decoding every pixel and at a smaller scale: seconds
        of the first run, median and fastest of the others, images per second by the median, CPU time of an image, and
        the time as a share of decoding alone, in the same way; and how much the two ways to decode differ.
    """
    say(f"{images:,} JPEG files of {photo[0]} x {photo[1]} pixels")
    with tempfile.TemporaryDirectory(prefix="dkjax-photos-") as folder:
        pictures = _made_up(photo) if photographs is None else _cut(photographs, photo)
        for name in ("one", "other"):
            (Path(folder) / "photos" / name).mkdir(parents=True)
        for i, picture in zip(range(images), itertools.cycle(pictures), strict=False):
            picture.save(Path(folder) / "photos" / ("one", "other")[i % 2] / f"{i}.jpg", quality=90)
        sources = {
            decode: ImageFolderSource(Path(folder) / "photos", (size, size), preparation=Preparation(decode=decode))
            for decode in get_args(Decode)
        }
        order = Order(scheme=schemes.disposable(16), keys=KeysConfig())

        def decode(source: ImageFolderSource, _: int) -> None:
            at_a_time = chunk_size(math.prod(source.image_shape))
            for first in range(0, images, at_a_time):
                source[first : first + at_a_time]

        def encrypt(source: ImageFolderSource, _: int) -> _Written:
            written = _Written(Path(tempfile.mkdtemp(dir=folder)))
            encrypt_data_set(source, written.folder / f"photos{layout.SUFFIX}", order)
            return written

        contenders: dict[str, Contender] = {}
        for how, source in sources.items():
            contenders[f"{DECODING}, {how}"] = partial(decode, source)
            contenders[f"{ENCRYPTING}, {how}"] = partial(encrypt, source)
        timings = take_turns(contenders, rounds)
        exact, scaled = (source[: len(pictures)]["image"] for source in sources.values())
    rows = [
        _row(name, timing, timings[f"{DECODING}, {name.rpartition(' ')[2]}"], images)
        for name, timing in timings.items()
    ]
    return {
        "bench": "photos",
        **machine.describe(),
        "images": images,
        "photo": list(photo),
        "size": size,
        "rounds": rounds,
        "contenders": rows,
        "differences": {
            "mean_levels": float(np.abs(exact.astype(int) - scaled).mean()),
            "max_levels": int(np.abs(exact.astype(int) - scaled).max()),
            "least_ssim": float(ssim(exact, scaled).min()),
        },
    }


class _Written:
    """A folder that is removed with this object: not while the clock runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __del__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _row(name: str, timing: Timing, alone: Timing, images: int) -> dict[str, Any]:
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": images / timing.median,
        "cpu_milliseconds_an_image": 1e3 * statistics.median(timing.cpu_seconds) / images,
        "times_decoding": timing.median / alone.median,
    }


def _made_up(photo: tuple[int, int]) -> list[Image.Image]:
    """Make pictures of smooth shapes and a little noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (32, 12, 16, 3), np.uint8)
    smooth = [np.asarray(Image.fromarray(one).resize(photo, Image.Resampling.BICUBIC)) for one in coarse]
    grain = random.integers(-12, 13, (photo[1], photo[0], 3))
    return [Image.fromarray(np.clip(one + grain, 0, 255).astype(np.uint8)) for one in smooth]


def _cut(folder: Path, photo: tuple[int, int]) -> list[Image.Image]:
    """Cut and resize the photographs of a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise ConfigError(f"--photographs {folder}: there is no JPEG file in it")
    return [ImageOps.fit(Image.open(file).convert("RGB"), photo, Image.Resampling.LANCZOS) for file in files]


def tables(result: dict[str, Any]) -> Tables:
    """Make a table of what `measure_photos` returned."""
    rows = [
        (
            row["name"],
            f"{row['images_per_second']:,.0f}",
            f"{row['cpu_milliseconds_an_image']:.2f}",
            f"{row['times_decoding']:.2f}",
            *times(row),
        )
        for row in result["contenders"]
    ]
    width, height = result["photo"]
    title = f"{result['images']:,} JPEG files of {width} x {height}, {result['size']} px after resizing"
    yield title, ("images/s", "CPU ms\nan image", "times\ndecoding", *TIMES), rows


def main(
    context: typer.Context,
    images: Annotated[int, typer.Option(min=1, help="How many photographs.")] = 1024,
    photographs: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Use the JPEG files of this folder.", metavar="DIR"),
    ] = None,
    width: Annotated[int, typer.Option(min=16, metavar="PX", help="Width of a photograph.")] = 500,
    height: Annotated[int, typer.Option(min=16, metavar="PX", help="Height of a photograph.")] = 375,
    size: Annotated[int, typer.Option(min=16, metavar="PX", help="Side of the images, a multiple of 16.")] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure encrypting a folder of JPEG files, against decoding them alone.

    Writes the files and the data sets into a temporary folder.
    """
    photo = width, height
    result = measure_photos(images=images, photo=photo, photographs=photographs, size=size, rounds=repeats, say=say)
    show(result, tables, as_json)
    if not as_json:
        differences = result["differences"]
        typer.echo(
            f"scaled and exact differ by {differences['mean_levels']:.2f} levels in the mean, "
            f"{differences['max_levels']} at most, SSIM {differences['least_ssim']:.4f} at least"
        )


if __name__ == "__main__":
    app(main)()
