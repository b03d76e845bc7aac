"""The contact sheet shows encrypted images as they are, and is a file that can be told from others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data_sets import write_small

from dkjax.dkds import open_data_set
from dkjax.report import contact_sheet
from dkjax.report.contact_sheet import draw, draw_images, is_contact_sheet

RANDOM = np.random.default_rng(0)


def noise(count: int, *shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, *shape), np.uint8)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def contains(sheet: np.ndarray, tile: np.ndarray) -> bool:
    """Whether a tile stands somewhere on the sheet, byte for byte."""
    height, width, _ = tile.shape
    rows, columns = np.nonzero((sheet == tile[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + height, x : x + width], tile) for y, x in zip(rows, columns, strict=True))


@pytest.mark.parametrize(
    ("shape", "factor"), [((8, 8, 3), 16), ((28, 28, 1), 5), ((32, 64, 3), 2), ((224, 224, 3), 1), ((100, 200, 3), 1)]
)
def test_images_are_shown_pixel_by_pixel(tmp_path: Path, shape: tuple[int, int, int], factor: int) -> None:
    images = noise(3, *shape)
    assert draw_images(images, tmp_path / "a.png", labels=np.arange(3), class_names="abc") == tmp_path / "a.png"
    sheet = pixels(tmp_path / "a.png")
    for image in images:
        colours = np.broadcast_to(image, (*shape[:2], 3))
        assert contains(sheet, colours.repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_numbers_of_channels_show_the_first(tmp_path: Path, channels: int) -> None:
    images = noise(1, 128, 128, channels)
    draw_images(images, tmp_path / "a.png")
    assert contains(pixels(tmp_path / "a.png"), images[0, ..., :1].repeat(3, -1))


@pytest.mark.parametrize("shape", [(2000, 1000, 3), (1, 5000, 1), (5000, 1, 3), (1, 1, 1)])
def test_any_size(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    draw_images(
        noise(2, *shape), tmp_path / "a.png", labels=np.zeros(2, int), class_names=["a"], title="t", subtitle="s"
    )
    assert max(pixels(tmp_path / "a.png").shape) < 1000


def test_at_most_24(tmp_path: Path) -> None:
    draw_images(noise(24, 8, 8, 1), tmp_path / "a.png")
    draw_images(noise(100, 8, 8, 1), tmp_path / "b.png")
    assert pixels(tmp_path / "a.png").shape == pixels(tmp_path / "b.png").shape


def test_captions_of_all_kinds(tmp_path: Path) -> None:
    """Long names are shortened, labels beyond the names are numbers, unknown letters do no harm."""
    names = ["a" * 1000, "傷のある部品", ""]
    draw_images(
        noise(4, 8, 8, 1), tmp_path / "a.png", labels=np.array([0, 1, 2, 9]), class_names=names, title="x" * 500
    )
    plain = draw_images(
        noise(4, 8, 8, 1), tmp_path / "b.png", labels=np.array([0, 1, 2, 9]), class_names="abc", title="x"
    )
    assert pixels(tmp_path / "a.png").shape == pixels(plain).shape


def test_classes_take_turns(tmp_path: Path) -> None:
    labels = np.array([0] * 1000 + [1] * 5 + [2] * 2)
    chosen = contact_sheet._spread_over_classes(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 2]
    assert len(set(chosen.tolist())) == 12
    assert contact_sheet._spread_over_classes(labels[:3], 12).tolist() == [0, 1, 2]
    assert len(np.unique(labels[contact_sheet._spread_over_classes(np.arange(100), 24)])) == 1


def test_of_a_data_set(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    data_set = open_data_set(tmp_path / "a.dkds")
    assert draw(data_set, tmp_path / "a.png") == tmp_path / "a.png"
    sheet = pixels(tmp_path / "a.png")
    shown = [contains(sheet, image.repeat(32, 0).repeat(32, 1)) for image in data_set[:]["image"]]
    assert sum(shown) == 24
    draw(data_set, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_it_is_told_from_other_pictures(tmp_path: Path) -> None:
    draw_images(noise(1, 8, 8, 1), tmp_path / "sheet.png")
    assert is_contact_sheet(tmp_path / "sheet.png")
    Image.fromarray(noise(1, 8, 8, 3)[0]).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "empty.png").touch()
    for name in ("photo.png", "text.png", "empty.png", "absent.png"):
        assert not is_contact_sheet(tmp_path / name)


def test_it_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "save", lambda self, path, *_, **__: path.write_bytes(b"half") / 0)
    with pytest.raises(ZeroDivisionError):
        draw_images(noise(1, 8, 8, 1), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
