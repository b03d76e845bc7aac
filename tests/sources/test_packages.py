"""Packages of images, found without running them."""

import sys
from pathlib import Path

import pytest

from dkjax.errors import MissingPackageError
from dkjax.sources.packages import package_folder


def test_a_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_images").mkdir()
    (tmp_path / "made_up_images/__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_folder("made_up_images", "made-up-images", "made-up") == tmp_path / "made_up_images"
    assert "made_up_images" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_images", "made_up_module"])
def test_what_is_no_package_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError) as caught:
        package_folder(name, "such-images", "such")
    message = str(caught.value)
    assert message.startswith("the source such needs such-images, which is not installed: pip install such-images, ")
    assert message.endswith("or name a folder: such:/the/folder")
    assert caught.value.exit_code == 2
