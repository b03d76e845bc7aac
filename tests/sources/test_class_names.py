"""Class names: one way to write each, and doubts about those that look alike."""

import os
import unicodedata

import pytest

from dkjax.errors import DataError
from dkjax.sources.class_names import name_doubts, normalised


def test_one_way_to_write_a_name() -> None:
    composed, decomposed = (unicodedata.normalize(form, "défaut à l'œil") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert normalised(decomposed, "here") == normalised(composed, "here") == composed
    with pytest.raises(DataError, match=r"here: the class name 'd\\xe9faut' is not UTF-8"):
        normalised(os.fsdecode(b"d\xe9faut"), "here")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("crack", "cr\u200back"), ["not seen (U+200B)", "look alike"]),
        (("\u202ekcarc", "whole"), ["not seen (U+202E)"]),
        (("crack", "Crack"), ["'crack' and 'Crack' look alike"]),
        (("crack", "crack "), ["'crack' and 'crack ' look alike"]),
        (("crack", "\u0441rack"), ["\\u0441rack"]),
        (("\u2460", "1"), ["look alike"]),
    ],
)
def test_names_that_look_alike(names: tuple[str, ...], said: list[str]) -> None:
    doubts = name_doubts((*names, "other"))
    assert len(doubts) == len(said)
    for doubt, words in zip(doubts, said, strict=True):
        assert words in doubt


def test_names_that_differ() -> None:
    assert not name_doubts(("crack", "cracks", "трещина", "царапина", "défaut", "defaut", "0", "o"))
