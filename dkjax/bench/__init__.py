"""Measuring what encryption, feeding and training cost, beside what others do and what could not be done faster."""

from dkjax.bench.encryption import measure_encryption
from dkjax.bench.feed import measure_feed
from dkjax.bench.photos import measure_photos
from dkjax.bench.step import measure_step
from dkjax.bench.training import measure_training

__all__ = ["measure_encryption", "measure_feed", "measure_photos", "measure_step", "measure_training"]
