"""Measuring what encryption costs, beside what others do and what copying the bytes would take."""

from dkjax.bench.encryption import measure_encryption
from dkjax.bench.step import measure_step

__all__ = ["measure_encryption", "measure_step"]
