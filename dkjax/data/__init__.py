"""Where images come from, and how they are dealt out among clients."""

from dkjax.data import partition
from dkjax.data.open import open_source
from dkjax.data.resize import resize_images, to_channels
from dkjax.data.source import ArraySource, Records, Skipped, Source, Subset, read_all
from dkjax.data.split import stratified_split

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
