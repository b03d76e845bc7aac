"""Public pictures that a learned inverter is trained on: `python benchmarks/public_photographs.py OUT.npz FOLDER ...`.

Those of scikit-image that `benchmarks/attacked_photographs.py` does not attack, and the pictures of each folder, such
as `abstract` and `desktop` of Debian's mate-backgrounds, of which it attacks `nature`. No picture is in both: split by
photograph (the second motorcycle of scikit-image, the same one seen from beside, is left out). Of each the middle
square, and squares of half its side in two corners.
"""

import sys
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

_SKIMAGE = Path(skimage.__file__).parent / "data"
_COLOUR = ("retina.jpg", "hubble_deep_field.jpg")
_GREY = ("brick", "camera", "cell", "coins", "grass", "gravel", "microaneurysms", "moon", "page")
FILES = tuple(_SKIMAGE / name for name in (*_COLOUR, *(f"{name}.png" for name in _GREY)))


def load(path: Path, size: int = 224) -> list[np.ndarray]:
    """Read three squares of a picture, uint8[size, size, 3] each."""
    picture = Image.open(path).convert("RGB")
    side = min(picture.size)
    half = side // 2
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    corners = ((left, top, side), (0, 0, half), (picture.width - half, picture.height - half, half))
    boxes = [(x, y, x + width, y + width) for x, y, width in corners]
    return [np.asarray(picture.crop(box).resize((size, size), Image.Resampling.LANCZOS)) for box in boxes]


def main(out: Path, folders: list[Path]) -> None:
    """Write the pictures as a source of images."""
    found = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".png")]
    images = np.stack([square for path in (*FILES, *found) for square in load(path)])
    np.savez(out, image=images, label=np.zeros(len(images), np.int32), class_names=np.array(["picture"]))
    print(f"{out}: {len(images)} squares of {len(FILES) + len(found)} pictures", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
