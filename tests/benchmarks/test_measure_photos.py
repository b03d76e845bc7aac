"""The bench of photographs: every contender does the whole work."""

from pathlib import Path

import photos
import pytest
from PIL import Image
from skimage import data

from dkjax.dkds import open_data_set
from dkjax.errors import ConfigError


def test_rows_and_what_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    encrypt = photos.encrypt_data_set
    monkeypatch.setattr(photos, "encrypt_data_set", lambda *args: written.append(count(encrypt, *args)))
    result = photos.measure_photos(images=6, size=32, rounds=2)
    assert written == [6] * 6
    assert (result["bench"], result["images"], result["size"], result["rounds"]) == ("photos", 6, 32, 2)
    rows = {row["name"]: row for row in result["contenders"]}
    assert list(rows) == [f"{what}, {how}" for how in ("exact", "scaled") for what in ("decoding", "dkjax encrypt")]
    for how in ("exact", "scaled"):
        decoding, encrypting = rows[f"decoding, {how}"], rows[f"dkjax encrypt, {how}"]
        assert decoding["times_decoding"] == 1
        assert encrypting["times_decoding"] == encrypting["median_seconds"] / decoding["median_seconds"]
        assert encrypting["images_per_second"] == 6 / encrypting["median_seconds"]
        assert encrypting["cpu_milliseconds_an_image"] > 0
        assert len(encrypting["seconds"]) == len(encrypting["cpu_seconds"]) == 2


def test_photographs_of_a_folder(tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "a.JPG")
    (tmp_path / "list.txt").write_text("no picture")
    result = photos.measure_photos(images=3, photo=(300, 200), photographs=tmp_path, size=32, rounds=1)
    assert result["photo"] == [300, 200]
    differences = result["differences"]
    assert 0 < differences["mean_levels"] < 1 <= differences["max_levels"] < 20 and differences["least_ssim"] > 0.99
    (tmp_path / "a.JPG").unlink()
    with pytest.raises(ConfigError, match="there is no JPEG file in it"):
        photos.measure_photos(images=3, photographs=tmp_path)


def count(encrypt, source, path, order) -> int:
    encrypt(source, path, order)
    return len(open_data_set(path))
