"""Random changes to plain images, which only the client can make: before encryption."""

import numpy as np

from dkjax.data.source import Records


def augment(records: Records, random: np.random.Generator, *, flip: bool, crop: int) -> Records:
    """Flip and shift images at random, each in its own way.

    After encryption these have no meaning: the pixels of a block no longer lie next to each other.

    Args:
        records: plain images and labels.
        random: decides what happens to which image.
        flip: whether half of the images are mirrored from left to right.
        crop: by how many pixels at most an image is shifted, up or down and to the sides; what comes in at the edge
            repeats the edge. Shifting is what a random crop of the padded image amounts to.

    Returns:
        New records of the same shapes, with the same labels.

    Guarantees:
        - without `flip` and `crop` nothing changes (`test_augment.py::test_nothing_asked_nothing_done`).
        - each row of an image's result is a row of the padded original
          (`test_augment.py::test_shifts_by_at_most_crop`).
    """
    images = records["image"]
    if flip:
        mirrored = random.random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    if crop:
        n, height, width, _ = images.shape
        padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)), mode="edge")
        top, left = random.integers(0, 2 * crop + 1, (2, n))
        corners = zip(padded, top, left, strict=True)
        images = np.stack([one[i : i + height, j : j + width] for one, i, j in corners]) if n else images
    return {"image": images, "label": records["label"]}
