"""A folder of very many names: what listing it takes, and what is held until the first images are encrypted.

python benchmarks/names.py --folder /dev/shm
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from script import AsJson, app, say, show

from dkjax.bench.table import Tables
from dkjax.cipher import schemes
from dkjax.client.data_set import Order, Progress, encrypt_data_set
from dkjax.config import DataConfig, KeysConfig
from dkjax.dkds import layout
from dkjax.runtime import machine
from dkjax.sources.open import open_configured

_CLASSES = 10
_WARM_UP = 512
_LINKS = 50_000  # ext4 allows a file 65,000 names


class _BegunError(Exception):
    """The first images are encrypted."""


def measure_names(
    counts: list[int], folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure folders of images by the number of their names; each in a process of its own.

    Args:
        counts: how many names each folder has; all name one small image.
        folder: where they are made, best in memory; by default the system's temporary folder.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, and a row for each folder: `names`, the CPU time of listing a name, and the bytes
        that the process holds more than before, at most: a name while it lists, in all until the first are encrypted.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="dkjax-names-", dir=folder) as made:
        for count in [_WARM_UP, *counts]:
            say(f"{count:,} names")
            _make(Path(made) / str(count), count)
        for count in counts:
            command = [sys.executable, __file__, "--child", made, str(count)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {"bench": "names", **machine.describe(), "rows": rows}


def _make(folder: Path, count: int) -> None:
    """Give one image many names."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    for number in range(_CLASSES):
        (folder / f"class_{number}").mkdir(parents=True)
    for i in range(count):
        if i % _LINKS == 0:
            image = folder.with_name(f"{folder.name}-{i}.jpg")
            picture.save(image)
        (folder / f"class_{i % _CLASSES}" / f"photo_{i:08d}.jpg").hardlink_to(image)


def _measure_one(made: Path, count: int) -> dict[str, Any]:
    """List one folder, and begin to encrypt it, after a small one has brought everything into memory."""
    encrypt_data_set(_open(made / str(_WARM_UP)), made / f"warm-{count}{layout.SUFFIX}", _ORDER)
    before, cpu = _reset_peak(), time.process_time()
    source = _open(made / str(count))
    cpu, listed = time.process_time() - cpu, _peak()
    with contextlib.suppress(_BegunError):
        encrypt_data_set(source, made / f"{count}{layout.SUFFIX}", _ORDER, _stop_at_the_first)
    return {
        "names": count,
        "cpu_microseconds_a_name": 1e6 * cpu / count,
        "listing_bytes_a_name": (listed - before) / count,
        "bytes_until_encrypted": _peak() - before,
    }


_ORDER = Order(schemes.disposable(8), KeysConfig(), shard_images=_WARM_UP)


def _open(folder: Path) -> Any:
    return open_configured(DataConfig(source=str(folder), image_size=32), "train")


def _stop_at_the_first(progress: Progress) -> None:
    if progress.chunk is not None:
        raise _BegunError


def _reset_peak() -> int:
    """Forget the most memory that this process has used so far; return what it uses now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def tables(result: dict[str, Any]) -> Tables:
    """Make a table of what `measure_names` returned."""
    rows = [
        (
            f"{row['names']:,} names",
            f"{row['cpu_microseconds_a_name']:.1f}",
            f"{row['listing_bytes_a_name']:.0f}",
            f"{row['bytes_until_encrypted'] / 1e6:.1f}",
        )
        for row in result["rows"]
    ]
    yield (
        "A folder of images",
        ("CPU us a name,\nlisting", "bytes a name,\nlisting", "until the first\nare encrypted"),
        rows,
    )


def main(
    context: typer.Context,
    names: Annotated[
        list[int] | None, typer.Option(min=_CLASSES, help="Names of a folder; may be repeated. 1,000 to 1,000,000.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, metavar="DIR", help="Where the folders are made.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure listing folders of very many images, and what is held until the first are encrypted."""
    show(measure_names(names or [10**3, 10**4, 10**5, 10**6], folder, say), tables, as_json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_measure_one(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        app(main)()
