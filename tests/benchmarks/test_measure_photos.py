"""The bench of photographs: both contenders do the whole work."""

import photos
import pytest

from dkjax.dkds import open_data_set


def test_rows_and_what_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    encrypt = photos.encrypt_data_set
    monkeypatch.setattr(photos, "encrypt_data_set", lambda *args: written.append(count(encrypt, *args)))
    result = photos.measure_photos(images=6, size=32, rounds=2)
    assert written == [6, 6, 6]
    assert (result["bench"], result["images"], result["size"], result["rounds"]) == ("photos", 6, 32, 2)
    decoding, encrypting = result["contenders"]
    assert (decoding["name"], encrypting["name"]) == ("decoding", "dkjax encrypt")
    assert decoding["times_decoding"] == 1
    assert encrypting["times_decoding"] == encrypting["median_seconds"] / decoding["median_seconds"]
    assert encrypting["images_per_second"] == 6 / encrypting["median_seconds"]
    assert len(encrypting["seconds"]) == 2


def count(encrypt, source, path, order) -> int:
    encrypt(source, path, order)
    return len(open_data_set(path))
