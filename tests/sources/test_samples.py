"""The packages of images as they are published; read where they are installed."""

import numpy as np
import pytest

from dkjax.sources import open_source

pytestmark = pytest.mark.samples


@pytest.mark.parametrize(
    ("source", "shape", "counts", "train_counts"),
    [
        ("elpv", (300, 300, 1), {"functional": 1803, "defective": 821}, [1443, 646]),
        ("textiles", (250, 250, 3), {"global": 500, "local": 500, "nominal": 1000}, [400, 400, 800]),
    ],
)
def test_classes_and_shapes(
    source: str, shape: tuple[int, int, int], counts: dict[str, int], train_counts: list[int]
) -> None:
    whole = open_source(source, None)
    assert whole.image_shape == shape
    assert dict(zip(whole.class_names, np.bincount(whole.labels).tolist(), strict=True)) == counts
    for first in range(0, len(whole), 256):
        batch = whole[first : first + 256]
        assert batch["image"].shape[1:] == shape
        # Photographs, and no two alike.
        assert (batch["image"].std(axis=(1, 2, 3)) > 1).all()
        assert len({image.tobytes() for image in batch["image"]}) == len(batch["label"])
    assert not whole.skipped
    train, test = (open_source(source, split, image_size=(224, 224), channels=3) for split in ("train", "test"))
    # Of the solar cells no module, as far as that can be known, is on both sides.
    assert np.bincount(train.labels).tolist() == train_counts
    assert len(train) + len(test) == len(whole)
    assert train[:4]["image"].shape == (4, 224, 224, 3)
