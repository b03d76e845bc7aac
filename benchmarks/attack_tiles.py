"""What came back, as one picture: `python benchmarks/attack_tiles.py ATTACKS OUT.png [--rows 0 1 2] SETTING:ATTACK...`.

ATTACKS is a work directory of `dkjax attack`; `SETTING:sent` is what the server sees.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIDE, _GAP, _CAPTION = 128, 6, 40


def read(folder: Path, setting: str, name: str) -> np.ndarray:
    """Read the pictures of a setting, uint8[k, H, W, C]."""
    with np.load(folder / "pictures" / setting / f"{name}.npz") as archive:
        return archive["image"]


def draw(folder: Path, columns: list[str], rows: list[int]) -> Image.Image:
    """Draw a column for the plain images and for each of `SETTING:ATTACK`, under two lines of caption."""
    pairs = [column.split(":") for column in columns]
    named = [("plain image", "(stays with the client)", read(folder, pairs[0][0], "plain"))]
    for setting, name in pairs:
        said = ("what the server sees" if name == "sent" else f"{name} attack", setting.removeprefix("disposable-"))
        named.append((*said, read(folder, setting, name)))
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (step * len(named) + _GAP, step * len(rows) + _CAPTION + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, (*lines, images) in enumerate(named):
        left = _GAP + column * step
        for number, line in enumerate(lines):
            pen.text((left + _SIDE / 2, 5 + 16 * number), line, "black", font, anchor="ma")
        for row, image in enumerate(images[rows]):
            tile = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
            sheet.paste(tile, (left, _CAPTION + _GAP + row * step))
    return sheet


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("columns", nargs="+")
    parser.add_argument("--rows", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    draw(given.folder, given.columns, given.rows).save(given.out, optimize=True)
