"""The handwritten digits that come with scikit-learn: 1797 grey images of 8x8 pixels, offline.

They are the test part of the "Optical Recognition of Handwritten Digits" data of the UCI repository, without an
official division into training and test images.
"""

import numpy as np

from dkjax.errors import ConfigError
from dkjax.sources.preparation import AS_IS, Preparation
from dkjax.sources.source import ArraySource


def open_digits(
    image_size: tuple[int, int] | None = None, channels: int | None = None, preparation: Preparation = AS_IS
) -> ArraySource:
    """Open the digits.

    The 17 grey levels 0..16 are spread over 0..255 and rounded.

    Args:
        image_size: (H, W); 8x8 if None.
        channels: 1 or 3; 1 if None.
        preparation: what becomes of other proportions.

    Returns:
        A source of 1797 images with the classes 0 to 9.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError(
            "the source digits needs scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    class_names = tuple(map(str, range(10)))
    return ArraySource(images, bunch.target, class_names, image_size, channels, "digits", preparation)
