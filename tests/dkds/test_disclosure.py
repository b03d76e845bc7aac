"""How much of a plain image is still there: to look at, and to know."""

import pytest
from small_data_sets import describe

from dkjax import schemes
from dkjax.dkds.disclosure import not_hidden, warnings_of
from dkjax.dkds.manifest import SchemeEntry

EXPECTED = {
    "disposable": ("histogram of every image", None),
    "horio": ("histogram of every image", None),
    "qi": ("histogram of every image", None),
    "etc": ("far the values of every block lie from mid-grey", "inside every block (turned, negated, recoloured)"),
    "le": ("half-bytes of every block", "the place of every block"),
    "ele": ("half-bytes of every block", None),
    "pe": ("far the values of every block lie from mid-grey", "the place of every block"),
    "patch_shuffle": ("histogram of every image", "the picture inside every block"),
    "sorted_blocks": ("histogram of every image", "which values are in each block"),
    "negative_positive": ("lie from mid-grey; the place of every block", "the picture inside every block (negated)"),
}


@pytest.mark.parametrize("name", [name for name in schemes.NAMES if name != "orthogonal"])
def test_every_scheme_says_what_stays(name: str) -> None:
    block_size = 1 if name == "pe" else 2
    sentence = not_hidden(describe(scheme=SchemeEntry.of(schemes.by_name(name, block_size=block_size))))
    assert sentence.startswith("Not hidden: labels and class names; how many images")
    assert sentence.endswith(".")
    assert "4 x 4 pixels" in sentence
    for part in EXPECTED[name]:
        assert part is None or part in sentence
    assert "of 4 blocks" not in sentence


def test_fixed_positions_are_told() -> None:
    scheme = SchemeEntry.of(schemes.disposable(block_size=2, fixed_blocks=1, fixed_pixels=12))
    sentence = not_hidden(describe(scheme=scheme))
    assert "1 of 4 blocks, which stay at their place; 12 of 12 values of each block, which stay" in sentence


@pytest.mark.parametrize("name", [name for name in schemes.NAMES if name != "orthogonal"])
def test_says_where_the_picture_can_be_rebuilt(name: str) -> None:
    sentence = not_hidden(describe(scheme=SchemeEntry.of(schemes.by_name(name, block_size=1 if name == "pe" else 2))))
    rebuilt = "and nearly the whole picture: without a key it can be rebuilt from one encrypted photograph"
    assert (rebuilt in sentence) == (name in {"disposable", "horio", "qi", "patch_shuffle"})


def test_an_own_order_in_every_block() -> None:
    def sentence(**fixed: int) -> str:
        scheme = schemes.disposable(2, pixel_order="block", **fixed)
        return not_hidden(describe(scheme=SchemeEntry.of(scheme)))

    for fixed in (0, 9):
        assert "SSIM .31" in sentence(fixed_pixels=fixed)
        assert "small blocks still give thumbnails away" in sentence(fixed_pixels=fixed)
        assert "nearly the whole picture" not in sentence(fixed_pixels=fixed)
    sorted_blocks = not_hidden(describe(scheme=SchemeEntry.of(schemes.sorted_blocks(2))))
    assert "SSIM .31" in sorted_blocks
    assert "small blocks still give thumbnails away" in sorted_blocks
    assert "9 of 12 values of each block, which stay" in sentence(fixed_pixels=9)
    # Where every value stays there is no order of its own left.
    assert "nearly the whole picture" in sentence(fixed_pixels=12)


@pytest.mark.parametrize(
    ("variant", "said", "rounded"),
    [
        ({"order_by": "channel"}, "which values of a block are of which channel; without an order of values", False),
        ({"order_by": "luminance"}, "which values of a block are of one pixel; without an order of values", False),
        ({"levels": 8}, "; which values are in each block, rounded to 8 levels; without an order", True),
        ({"levels": 8, "epsilon": 0.5}, "of 8 levels, with noise (epsilon 0.5 for one value, 12 times that for", True),
    ],
)
def test_variants_of_sorted_blocks(variant: dict, said: str, rounded: bool) -> None:
    sentence = not_hidden(describe(scheme=SchemeEntry.of(schemes.sorted_blocks(2, **variant))))
    assert said in sentence
    assert "SSIM .31" in sentence
    assert ("thumbnails have the colours of the blocks, too" in sentence) == ("order_by" in variant)
    assert ("histogram of every image" in sentence) != rounded


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": "reproducible"}, "come from a seed"),
        ({"key_sharing": "per_client"}, "share a key"),
        ({"key_sharing": "shared"}, "share a key"),
        ({"views": 2}, "2 encryptions"),
    ],
)
def test_warnings(changes: dict, said: str) -> None:
    assert warnings_of(describe()) == []
    (warning,) = warnings_of(describe(**changes))
    assert said in warning
