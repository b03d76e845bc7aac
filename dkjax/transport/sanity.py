"""Whether encrypted images are images at all: constant ones, and ones that are there twice."""

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import EncryptedDataSet
from dkjax.errors import DataError

_CHUNK_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """The shares of a data set's images from which on it is refused.

    Attributes:
        constant: images of one value.
        duplicates: images that the same data set has already, beyond its views.
        elsewhere: images that an accepted data set has. By default none is refused for that: whoever sees what is
            refused could ask, image by image, what others have.
    """

    constant: float = 0.01
    duplicates: float = 0.05
    elsewhere: float = 1.0


@dataclasses.dataclass(frozen=True)
class Sanity:
    """What was found about the images of a data set.

    Attributes:
        constant: how many have one value alone.
        duplicates: how many the data set has already, beyond its views.
        elsewhere: how many an accepted data set has.
        prints: uint64[n], a fingerprint for each image.
    """

    constant: int
    duplicates: int
    elsewhere: int
    prints: NDArray[np.uint64]


def fingerprints(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash how often each value occurs in an image, which moving values does not change.

    Two encryptions of one image under different keys have one fingerprint, for every scheme that only moves values.

    Args:
        images: uint8[n, H, W, C].

    Returns:
        uint64[n], the first 64 bits of the SHA-256 of the 256 counts.

    Guarantees:
        - it does not change under any permutation (`test_sanity.py::test_a_permutation_changes_nothing`).
    """
    counted = [np.bincount(image, minlength=256) for image in images.reshape(len(images), -1)]
    digests = b"".join(hashlib.sha256(counts.astype("<u8").tobytes()).digest()[:8] for counts in counted)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def check_images(data_set: EncryptedDataSet, others: NDArray[np.uint64], limits: Limits) -> Sanity:
    """Look at every image of a data set.

    Args:
        data_set: whole.
        others: the fingerprints of what was accepted before.
        limits: what is refused.

    Returns:
        What was found.

    Raises:
        DataError: a limit is exceeded.
    """
    prints, constant = [], 0
    step = max(1, _CHUNK_BYTES // int(np.prod(data_set.image_shape)))
    for shard in data_set.shards:
        for first in range(0, len(shard.image), step):
            images = np.asarray(shard.image[first : first + step])
            prints.append(fingerprints(images))
            flat = images.reshape(len(images), -1)
            constant += int((flat == flat[:, :1]).all(axis=1).sum())
    every = np.concatenate(prints)
    _, counts = np.unique(every, return_counts=True)
    found = Sanity(
        constant=constant,
        # Every view of an image but one more than the data set says it has.
        duplicates=int(np.maximum(counts - data_set.manifest.views, 0).sum()),
        elsewhere=int(np.isin(every, others).sum()),
        prints=every,
    )
    total = len(every)
    for count, limit, words in (
        (found.constant, limits.constant, "have one value alone"),
        (found.duplicates, limits.duplicates, "are there more than once"),
        (found.elsewhere, limits.elsewhere, "are in a data set that was accepted before"),
    ):
        if count > limit * total:
            raise DataError(f"{count:,} of {total:,} images {words}, more than {limit:.0%} of them")
    return found
