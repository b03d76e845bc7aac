"""PNG keeps every byte, and nothing else passes for it."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dkjax.dkds.convert.png import decode_png, encode_png
from dkjax.runtime.threads import on_all_cores


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_round_trip(height: int, width: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    decoded = decode_png(encode_png(image), image.shape)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("shape", [(4, 6, 1), (6, 4, 3), (4, 5, 3)])
def test_another_shape_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode_png(encode_png(np.zeros((4, 6, 3), np.uint8)), shape)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF"])
def test_other_formats_are_refused(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, kind)
    with pytest.raises(OSError, match="cannot identify"):
        decode_png(file.getvalue(), (4, 6, 3))


def test_results_keep_their_order() -> None:
    assert on_all_cores(lambda number: number * number, range(100)) == [number * number for number in range(100)]
