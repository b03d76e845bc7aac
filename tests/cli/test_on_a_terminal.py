"""Commands whose errors go to a terminal, where progress is a bar."""

import pytest
from terminal import run_on_terminal

SMALL = ["--set", "data.image_size=16", "--set", "scheme.block_size=8", "--set", "data.train_images=40"]


@pytest.mark.parametrize("columns", [60, 200])
def test_encrypt(tmp_path, columns):
    shown = run_on_terminal(["encrypt", "digits", "--out", "a.dkds", *SMALL], tmp_path, columns=columns)
    assert (shown.returncode, "Traceback" in shown.text) == (0, False), shown.text
    assert (tmp_path / "a.dkds" / "COMMIT").exists()
    assert "encrypting" in shown.text  # the bar
    assert "40 images in" in shown.text  # the summary
