"""What a trained model is tested on: encrypted data sets, or plain images of any source."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dkjax.config import DataConfig, ServerDataConfig, parse_as, resolved
from dkjax.dkds import EncryptedDataSet, layout, open_data_set
from dkjax.errors import ConfigError, DataError
from dkjax.input.record_pool import RecordPool
from dkjax.server.merge import check_classes, check_shape
from dkjax.sources import Source, read_all
from dkjax.sources.class_names import WithClasses
from dkjax.sources.findings import findings_of
from dkjax.sources.open import has_test_images, open_configured
from dkjax.sources.source import Indexed
from dkjax.train.observer import Observer


@dataclasses.dataclass(frozen=True)
class TestSet:
    """One test set, open but not read.

    Attributes:
        name: as it was given on the command line.
        source: where its images are.
    """

    name: str
    source: Source

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON values that tell it from other test sets."""
        if isinstance(self.source, EncryptedDataSet):
            return {"name": self.name, "data_set": self.source.manifest.id}
        return {"name": self.name, "images": len(self.source)}

    def records(self, observer: Observer) -> Indexed:
        """Its records: mapped where they are encrypted, read into memory where they are plain.

        Args:
            observer: told what is read and what had to be skipped.

        Raises:
            DataError: none can be read.
        """
        if isinstance(self.source, EncryptedDataSet):
            return self.source.pool
        observer.reading(self.name)
        found = findings_of(self.source)
        for entry in found.left_out:
            observer.note(f"{self.name}: {entry.name} is left out: {entry.reason}")
        for doubt in found.doubts:
            observer.note(f"{self.name}: {doubt}")
        records = read_all(self.source)
        for skipped in self.source.skipped:
            observer.skipped(skipped.name, skipped.reason)
        return RecordPool([records])


def open_test_sets(
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    data: ServerDataConfig,
    whole: bool = False,
) -> tuple[TestSet, ...]:
    """Open test sets for a model.

    Args:
        names: each an encrypted data set `NAME.dkds`, or a source of plain images as `dkjax encrypt` takes it, which
            is brought to the model's image shape.
        image_shape: `(H, W, C)` of the model's images.
        class_names: the model's classes, by label.
        data: which share of a source without test images of its own is for testing: by default the one that
            `dkjax encrypt --split train` leaves out.
        whole: take all images of such a source instead.

    Returns:
        The test sets, in the same order.

    Raises:
        ConfigError: a name is given twice, or is no source.
        DataError: one is missing or damaged, or its classes or image shape are not the model's.
    """
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{repeated[0]} is given twice as a test set")
    test_sets = tuple(TestSet(name, _open(name, image_shape, class_names, data, whole)) for name in names)
    for one in test_sets:
        check_classes(one.source.class_names, one.name, class_names, "the model")
        check_shape(one.source.image_shape, one.name, image_shape, "the model")
    return test_sets


def _open(
    name: str, image_shape: tuple[int, int, int], class_names: Sequence[str], data: ServerDataConfig, whole: bool
) -> Source:
    if Path(name).suffix == layout.SUFFIX:
        return open_data_set(Path(name))
    height, width, channels = image_shape
    if channels not in (1, 3):
        raise DataError(f"{name}: plain images have 1 or 3 channels, and the model's {channels}: test on a .dkds")
    shape = {"image_size": [height, width], "channels": channels}
    config = parse_as(DataConfig, {"source": name, **shape, **resolved(data)})
    source = open_configured(config, None if whole and not has_test_images(config) else "test")
    # Names decide, so that a test folder may lack a class; labels without a common name are told by `check_classes`.
    common = set(source.class_names) & set(class_names)
    return WithClasses(source, class_names, name) if common and source.class_names != tuple(class_names) else source
