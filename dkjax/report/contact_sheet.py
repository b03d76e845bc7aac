"""A contact sheet: a handful of images on one picture, as the server sees them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from dkjax.dkds import EncryptedDataSet, PackedDataSet
from dkjax.runtime.files import whole_file

_MOST = 24
_COLUMNS = 6
_SMALL, _LARGE = 128, 256
"""An image whose longer side is below the one is shown enlarged, above the other reduced."""

_GAP, _MARGIN = 14, 24
_CAPTION, _TITLE = 13, 19
_PAPER, _INK, _GREY, _FRAME = "#ffffff", "#222222", "#666666", "#d5d5d5"
_SOFTWARE = "dkjax contact sheet"


def draw(data_set: EncryptedDataSet | PackedDataSet, path: Path) -> Path:
    """Draw some images of an encrypted data set: what the server will see.

    Classes take turns, so that as many of them as fit are shown; only the records shown are read.

    Args:
        data_set: the data set.
        path: the PNG to write.

    Returns:
        The path.
    """
    chosen = _spread_over_classes(data_set.labels, _MOST)
    records = data_set[chosen]
    scheme = data_set.manifest.scheme
    parameters = ", ".join(f"{name} {value}" for name, value in scheme.parameters.items())
    title = f"{data_set.manifest.client}: {len(chosen)} of {len(data_set):,} encrypted images"
    subtitle = f"{scheme.name} ({parameters})"
    return draw_images(
        records["image"],
        path,
        labels=records["label"],
        class_names=data_set.class_names,
        title=title,
        subtitle=subtitle,
    )


def draw_images(
    images: NDArray[np.uint8],
    path: Path,
    *,
    labels: NDArray[np.integer] | None = None,
    class_names: Sequence[str] = (),
    title: str = "",
    subtitle: str = "",
) -> Path:
    """Draw images side by side, a caption under each.

    Small images are enlarged pixel by pixel, without smoothing. Of other than one or three channels, the first is shown
    as grey.

    Args:
        images: uint8[n, H, W, C]; the first 24 are drawn.
        path: the PNG to write; it appears whole or not at all.
        labels: integers [n].
        class_names: by label; a label beyond them is shown as its number.
        title: a line above the images.
        subtitle: a smaller line below that.

    Returns:
        The path.
    """
    tiles = [_tile(image) for image in images[:_MOST]]
    captions = [_caption(int(label), class_names) for label in labels[:_MOST]] if labels is not None else []
    width, height = (max(_SMALL, *(tile.size[axis] for tile in tiles)) for axis in (0, 1))
    caption_height = _CAPTION + 10 if captions else 0
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    top = _MARGIN + (_TITLE + 14 if title else 0) + (_CAPTION + 14 if subtitle else 0)
    size = (
        2 * _MARGIN + columns * (width + _GAP) - _GAP,
        top + rows * (height + caption_height + _GAP) - _GAP + _MARGIN,
    )
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    small, large = ImageFont.load_default(_CAPTION), ImageFont.load_default(_TITLE)
    room = size[0] - 2 * _MARGIN
    if title:
        pen.text((_MARGIN, _MARGIN - 4), _fitted(title, room, large), _INK, large)
    if subtitle:
        pen.text((_MARGIN, top - _CAPTION - 15), _fitted(subtitle, room, small), _GREY, small)
    for i, tile in enumerate(tiles):
        left = _MARGIN + i % columns * (width + _GAP)
        upper = top + i // columns * (height + caption_height + _GAP)
        corner = left + (width - tile.width) // 2, upper + (height - tile.height) // 2
        sheet.paste(tile, corner)
        right, lower = corner[0] + tile.width, corner[1] + tile.height
        pen.rectangle((corner[0] - 1, corner[1] - 1, right, lower), outline=_FRAME)
        if captions:
            caption = _fitted(captions[i], width, small)
            pen.text((left + width / 2, upper + height + 6), caption, _INK, small, anchor="ma")
    tag = PngImagePlugin.PngInfo()
    tag.add_text("Software", _SOFTWARE)
    with whole_file(path) as unfinished:
        sheet.save(unfinished, "PNG", pnginfo=tag)
    return path


def is_contact_sheet(path: Path) -> bool:
    """Say whether a file is a picture that was drawn here, and may be drawn anew."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.info.get("Software") == _SOFTWARE
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _spread_over_classes(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Choose records so that classes take turns; return their positions, by class."""
    by_class = np.argsort(labels, kind="stable")
    ordered = labels[by_class]
    # The how-manieth of its class each record is.
    turn = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return by_class[np.sort(np.argsort(turn, kind="stable")[:count])]


def _tile(image: NDArray[np.uint8]) -> Image.Image:
    shown = image if image.shape[-1] == 3 else image[..., 0]
    tile = Image.fromarray(np.ascontiguousarray(shown)).convert("RGB")
    longer = max(tile.size)
    if longer < _SMALL:
        factor = -(-_SMALL // longer)
        return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
    if longer > _LARGE:
        tile.thumbnail((_LARGE, _LARGE), Image.Resampling.BOX)
    return tile


def _caption(label: int, class_names: Sequence[str]) -> str:
    return class_names[label] if 0 <= label < len(class_names) else str(label)


def _fitted(text: str, room: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a text to the room that it has."""
    # No letter is narrower than two pixels.
    if len(text) <= room / 2 and font.getlength(text) <= room:
        return text
    shortened = text[: int(room / 2)]
    while shortened and font.getlength(shortened + "...") > room:
        shortened = shortened[:-1]
    return shortened.rstrip() + "..."
