"""Measuring what encryption and feeding cost, beside what others do and what copying the bytes would take."""

from dkjax.bench.encryption import measure_encryption
from dkjax.bench.feed import measure_feed
from dkjax.bench.photos import measure_photos
from dkjax.bench.step import measure_step

__all__ = ["measure_encryption", "measure_feed", "measure_photos", "measure_step"]
