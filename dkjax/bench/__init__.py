"""Measuring what encryption costs, beside what others do and what could not be done faster."""

from dkjax.bench.encryption import measure_encryption
from dkjax.bench.step import measure_step

__all__ = ["measure_encryption", "measure_step"]
