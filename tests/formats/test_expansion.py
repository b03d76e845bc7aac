"""What is taken for a decompression bomb, and what is not."""

import pytest

from dkjax.formats.expansion import MAX_EXPANSION, check_expansion


@pytest.mark.parametrize(
    ("size", "compressed"),
    [(0, 0), (100, 1), (1 << 20, 1024), (256 << 20, 300_000), (1 << 40, 1 << 34), (100 * 10**9, 10**9)],
)
def test_what_real_data_do(size: int, compressed: int) -> None:
    check_expansion(size, compressed)


@pytest.mark.parametrize(
    ("size", "compressed", "said"),
    [
        (10**15, 10**6, "cannot hold"),
        (2 * MAX_EXPANSION + 1, 1, "cannot hold"),
        ((256 << 20) + 1, 300_000, "a decompression bomb"),
        (10**10, 10**7, "store it without compression"),
    ],
)
def test_what_bombs_do(size: int, compressed: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_expansion(size, compressed)
