"""What every format offers: write records, read them again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dkjax.dkds import Manifest
from dkjax.dkds.convert.stream import Chunk, RecordStream
from dkjax.errors import ConfigError, DataError


class Container(Protocol):
    """A format of data sets. It keeps image, label, id and the order of the records; `dkds.json` keeps the rest.

    Attributes:
        name: what the command line calls it.
        title: what people call it.
    """

    name: str
    title: str

    def check(self, manifest: Manifest) -> None:
        """Raise `ConfigError` if the format cannot hold a data set exactly."""

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write all records.

        Args:
            folder: an empty folder.
            manifest: of the data set.
            records: its records, in order.
        """

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read all records in the order in which they were written.

        Args:
            path: the folder.
            manifest: of the data set that was written there.

        Raises:
            DataError: a record is missing or cannot be read.
        """

    def how_to_read(self, path: Path) -> str:
        """Say in Python how other people's loaders read it."""


def unreadable(where: object, error: BaseException) -> DataError:
    """Say that something cannot be read, on one line. Readers of strangers' bytes raise nearly anything."""
    if isinstance(error, MemoryError):
        raise error
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{where} cannot be read ({reason}): export the encrypted data set again")


def check_is_picture(manifest: Manifest, title: str) -> None:
    """Raise `ConfigError` unless images are grey or RGB, which is all that everybody's PNG readers agree on."""
    channels = manifest.image_shape[2]
    if channels not in (1, 3):
        raise ConfigError(
            f"{title} holds images of 1 or 3 channels, not {channels}: convert --to tfds takes any number"
        )
