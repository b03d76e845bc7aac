"""Random changes to plain images, which only the client can make: before encryption."""

import numpy as np

from dkjax.client.rand_augment import rand_augment as apply_rand_augment
from dkjax.sources.source import Records


def augment(
    records: Records,
    random: np.random.Generator,
    *,
    flip: bool,
    crop: int,
    rand_augment: tuple[int, int] | None = None,
) -> Records:
    """Flip, shift and otherwise change images at random, each in its own way and in this order.

    After encryption these have no meaning: the pixels of a block no longer lie next to each other.

    Args:
        records: plain images and labels.
        random: decides what happens to which image.
        flip: whether half of the images are mirrored from left to right.
        crop: by how many pixels at most an image is shifted, up or down and to the sides; what comes in at the edge
            repeats the edge. Shifting is what a random crop of the padded image amounts to.
        rand_augment: number of operations and magnitude, 0 to 30, of `dkjax.client.rand_augment`; None for none.

    Returns:
        New records of the same shapes, with the same labels.

    Raises:
        ArgumentError: `rand_augment` for images that are neither grey nor RGB, or out of range.

    Guarantees:
        - without `flip`, `crop` and `rand_augment` nothing changes
          (`test_augment.py::test_nothing_asked_nothing_done`).
        - each row of an image's result is a row of the padded original
          (`test_augment.py::test_shifts_by_at_most_crop`).
        - `rand_augment` takes nothing from what `flip` and `crop` draw
          (`test_augment.py::test_rand_augment_comes_last`).
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
    if rand_augment is not None:
        images = apply_rand_augment(images, random, *rand_augment)
    return {"image": images, "label": records["label"]}
