"""An encrypted data set in the formats of other loaders, and back, record by record.

Each format is a `Container` in a file of its own. Beside the records an export carries `dkds.json`, which says what was
encrypted, how, and what the records were; nothing becomes an encrypted data set without it.
"""

from dkjax.dkds.convert.conversion import CONTAINERS, Conversion, convert_data_set

__all__ = ["CONTAINERS", "Conversion", "convert_data_set"]
