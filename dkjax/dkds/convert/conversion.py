"""From one format into another: all of it, exactly, or nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from dkjax.dkds import Manifest, layout
from dkjax.dkds.convert.container import Container
from dkjax.dkds.convert.dkds import DkdsContainer
from dkjax.dkds.convert.packed import PackedContainer
from dkjax.dkds.convert.parquet import ParquetContainer
from dkjax.dkds.convert.png_folder import PngContainer
from dkjax.dkds.convert.sidecar import FILE, Sidecar, read_sidecar, write_sidecar
from dkjax.dkds.convert.stream import RecordStream
from dkjax.dkds.convert.tfds import TfdsContainer
from dkjax.dkds.data_set import read_manifest
from dkjax.errors import ConfigError, DataError
from dkjax.runtime.files import whole_folder

CONTAINERS: Mapping[str, Container] = {
    container.name: container
    for container in (DkdsContainer(), TfdsContainer(), ParquetContainer(), PngContainer(), PackedContainer())
}
"""The formats, by name."""


class Conversion(NamedTuple):
    """What was converted.

    Attributes:
        source: the format it came from.
        target: the format it is in now.
        manifest: of the encrypted data set.
    """

    source: Container
    target: Container
    manifest: Manifest


def convert_data_set(
    source: Path, to: str, out: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> Conversion:
    """Convert an encrypted data set into another format, or an export back.

    Records are read, compared with their checksums or the export's, and written, in constant memory. The folder
    appears when all of it is on the disk.

    Args:
        source: a data set `NAME.dkds`, or an export of one; found out by its contents.
        to: the name of a format, one of `CONTAINERS`.
        out: the folder to write, which must not exist.
        report: called with (records done, records in all) as they pass.

    Returns:
        What was converted.

    Raises:
        ConfigError: `out` exists, is being written, lies within `source` or has the wrong name; or the format cannot
            hold this data set exactly.
        DataError: `source` is neither, was never encrypted, or its records are not what they were.

    Guarantees:
        - there and back gives the same files, byte for byte
          (`test_conversion.py::test_there_and_back`).
        - a changed pixel, label, id or order is noticed (`test_conversion.py::test_changes_are_noticed`).
        - what was never encrypted does not become an encrypted data set
          (`test_conversion.py::test_plain_images_are_refused`).
        - memory does not grow with the number of records (`test_conversion_memory.py`).
    """
    target = CONTAINERS.get(to)
    if target is None:
        raise ConfigError(f"there is no format {to!r}: choose one of {', '.join(CONTAINERS)}")
    origin, manifest, expected = _look(source)
    target.check(manifest)
    is_data_set = isinstance(target, DkdsContainer | PackedContainer)
    if (out.suffix == layout.SUFFIX) != is_data_set:
        raise ConfigError(f"{out}: the name of an encrypted data set, and of nothing else, ends in {layout.SUFFIX}")
    if source.resolve() in out.resolve().parents:
        raise ConfigError(f"{out} lies within {source}: choose another --out")
    with whole_folder(out, "--out") as folder:
        records = RecordStream(origin.read(source, manifest), manifest, report)
        target.write(folder, manifest, records)
        records.finish()
        if expected not in (None, records.sha256):
            raise DataError(
                f"{source} is not what was exported: an image, a label, an id or the order was changed; "
                "export the encrypted data set again"
            )
        if not is_data_set:
            write_sidecar(folder, Sidecar(target.name, records.sha256, manifest))
    return Conversion(origin, target, manifest)


def _look(source: Path) -> tuple[Container, Manifest, str | None]:
    """Find out what a folder is, what it says of itself, and which hash its records should have."""
    if not source.is_dir():
        raise DataError(f"there is no folder {source}: expected an encrypted data set or an export of one")
    if any((source / name).exists() for name in (layout.MANIFEST, layout.COMMIT, layout.PLAN)):
        return CONTAINERS["packed" if layout.is_packed(source) else "dkds"], read_manifest(source), None
    sidecar = read_sidecar(source)
    if sidecar is not None:
        container = CONTAINERS.get(sidecar.container)
        if container is None:
            raise DataError(
                f"{source} is in the format {sidecar.container!r}, which this dkjax does not know: update it"
            )
        return container, sidecar.manifest, sidecar.records_sha256
    raise DataError(
        f"{source} has no {FILE}, so nothing says that its images were ever encrypted, and they get no name that does: "
        "encrypt them with dkjax encrypt"
    )
