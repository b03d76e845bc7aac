"""Data sets of several clients as one: what they have to agree on before a server can train on them together."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import jax

from dkjax.client.upload import Upload
from dkjax.dkds import EncryptedDataSet, layout
from dkjax.dkds.verify import refuse_common_records, require_whole
from dkjax.errors import DataError
from dkjax.runtime.processes import leader_does, run_on_all
from dkjax.sources import Source
from dkjax.train.observer import Observer


@dataclasses.dataclass(frozen=True)
class Merged:
    """Data sets that agree, in an order that does not depend on how they were named.

    Attributes:
        data_sets: by client, part and id.
        image_shape: `(H, W, C)` of all images.
        class_names: by label, the same in all.
        block_size: side of a block in pixels, the same in all; the rest of the schemes may differ.
    """

    data_sets: tuple[EncryptedDataSet, ...]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    block_size: int

    @property
    def made_from(self) -> tuple[dict[str, Any], ...]:
        """What a model says of the data sets it was trained on; `sha256` is what COMMIT holds: it fixes every byte."""
        return tuple(
            {
                "client": one.client,
                "id": one.id,
                "sha256": (data_set.path / layout.COMMIT).read_text().strip(),
                "records": one.records,
                "keys": one.keys,
                "key_sharing": one.key_sharing,
                "scheme": one.scheme.name,
                "parameters": one.scheme.parameters,
            }
            for data_set in self.data_sets
            for one in [data_set.manifest]
        )

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """What a server receives: one upload for each data set, mapped from its files."""
        return tuple(Upload(data_set.manifest.client, 1, data_set.pool) for data_set in self.data_sets)


def merge(data_sets: Sequence[EncryptedDataSet]) -> Merged:
    """Merge data sets; nothing is read or copied.

    Args:
        data_sets: in any order.

    Returns:
        The data sets as one.

    Raises:
        DataError: there is none, one is given twice, or two of them differ in classes, image shape or block size.
    """
    if not data_sets:
        raise DataError("there is nothing to train on: give at least one encrypted data set, NAME.dkds")
    ordered = sorted(data_sets, key=lambda one: (one.manifest.client, one.manifest.part.index, one.manifest.id))
    first = ordered[0]
    block_size = block_size_of(first)
    for before, data_set in pairwise(ordered):
        if before.manifest.id == data_set.manifest.id:
            raise DataError(f"{before.path} and {data_set.path} are the same data set: give it once")
    for data_set in ordered[1:]:
        check_classes(data_set.class_names, data_set.path, first.class_names, first.path)
        check_shape(data_set.image_shape, data_set.path, first.image_shape, first.path)
        if block_size_of(data_set) != block_size:
            raise DataError(
                f"{data_set.path} has blocks of {block_size_of(data_set)} pixels, but {first.path} of {block_size}: a "
                "ViT needs one size, so let the clients encrypt alike"
            )
    return Merged(tuple(ordered), first.image_shape, first.class_names, block_size)


def require_all_whole(sources: Sequence[Source], observer: Observer) -> None:
    """Check every byte of the encrypted data sets among sources, each once; several processes divide the work.

    Raises:
        DamagedDataSetError: one of them is damaged, or two of them hold one record.

    Guarantees:
        - records in common are noticed whichever process checks what
          (`test_merge.py::test_records_in_common_over_processes`).
    """
    by_path = {source.path.resolve(): source for source in sources if isinstance(source, EncryptedDataSet)}
    by_id: dict[str, list[Path]] = {}
    for source in by_path.values():
        by_id.setdefault(source.manifest.id, []).append(source.path)
    # A copy carries the same id as the other, and may be damaged where that is not: it is looked at by itself.
    together = [[paths[0] for paths in by_id.values()]] + [[copy] for paths in by_id.values() for copy in paths[1:]]
    own = [part[jax.process_index() :: jax.process_count()] for part in together]

    def check() -> None:
        for part in filter(None, own):
            require_whole(part, observer.verifying)

    run_on_all(check)
    # Each process has compared the records of its own part.
    if jax.process_count() > 1:
        leader_does(lambda: refuse_common_records([by_path[path.resolve()] for path in together[0]]))


def block_size_of(data_set: EncryptedDataSet) -> int:
    """Return the side of a data set's blocks in pixels."""
    return data_set.manifest.scheme.block_size


def check_classes(found: Sequence[str], where: Path | str, expected: Sequence[str], expected_by: Path | str) -> None:
    """Raise `DataError` unless labels mean the same in two places.

    Args:
        found: class names by label.
        where: whose they are.
        expected: class names by label.
        expected_by: whose those are.
    """
    for label, (one, other) in enumerate(zip_longest(found, expected)):
        if one != other:
            named = [
                f"has no class {label}" if name is None else f"calls class {label} {name!r}" for name in (one, other)
            ]
            raise DataError(
                f"{where} {named[0]}, but {expected_by} {named[1]}: the same classes in the same order are needed"
            )


def check_shape(
    found: tuple[int, int, int], where: Path | str, expected: tuple[int, int, int], expected_by: Path | str
) -> None:
    """Raise `DataError` unless images have the same shape in two places; arguments as for `check_classes`."""
    if found != expected:
        raise DataError(
            f"{where} has images of shape {list(found)}, but {expected_by} of {list(expected)}: encrypt with the same "
            "data.image_size and data.channels"
        )
