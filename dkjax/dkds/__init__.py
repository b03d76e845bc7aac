"""The encrypted data set on disk, `NAME.dkds`: what a client hands over and the server trains on.

A folder of shards with raw images behind a manifest that counts and hashes them; see docs/dkds.md for the format. It
holds no key, no name of a file and no time of day.
"""

from dkjax.dkds.data_set import EncryptedDataSet, open_data_set
from dkjax.dkds.manifest import Description, Manifest, Part
from dkjax.dkds.packed import PackedDataSet
from dkjax.dkds.writer import DataSetWriter, open_writer

__all__ = [
    "EncryptedDataSet",
    "PackedDataSet",
    "open_data_set",
    "Manifest",
    "Description",
    "Part",
    "DataSetWriter",
    "open_writer",
]
