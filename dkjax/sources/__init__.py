"""Where images come from, and how they are dealt out among clients."""

from dkjax.sources import partition
from dkjax.sources.open import open_source
from dkjax.sources.resize import resize_images, to_channels
from dkjax.sources.source import ArraySource, Records, Skipped, Source, Subset, read_all
from dkjax.sources.split import stratified_split

__all__ = [
    "open_source",
    "read_all",
    "Source",
    "Records",
    "Skipped",
    "ArraySource",
    "Subset",
    "stratified_split",
    "partition",
    "resize_images",
    "to_channels",
]
