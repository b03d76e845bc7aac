"""The photographs that attacks are measured on: `python benchmarks/attacked_photographs.py OUT.npz [FOLDER]`.

Those of scikit-image and scikit-learn, and every .jpg of a folder, such as `nature` of Debian's mate-backgrounds.
"""

import sys
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image

_SKIMAGE = Path(skimage.__file__).parent / "data"
_SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
_NAMES = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")

HARDER = (_SKIMAGE / "retina.jpg", _SKIMAGE / "hubble_deep_field.jpg")
"""An eye and a field of stars: black edges fit anywhere."""

EVERYDAY = (*(_SKIMAGE / name for name in _NAMES), _SKLEARN / "china.jpg", _SKLEARN / "flower.jpg")
"""Everyday scenes and one through a microscope."""


def load(path: Path, size: int = 224) -> np.ndarray:
    """Read the middle square of a picture, uint8[size, size, 3]."""
    picture = Image.open(path).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.crop(box).resize((size, size), Image.Resampling.LANCZOS))


def main(out: Path, folder: Path | None) -> None:
    """Write the photographs as a source of images; the last one again as its test image."""
    files = [*EVERYDAY, *(sorted(folder.glob("*.jpg")) if folder is not None else [])]
    images = np.stack([load(path) for path in files])
    labels = np.zeros(len(images), np.int32)
    names = np.array(["photograph", "none"])
    np.savez(out, image=images, label=labels, test_image=images[-1:], test_label=labels[-1:], class_names=names)
    print(f"{out}: {len(images)} photographs", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None)
