"""Records in several places, read as if they lay in one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkjax.data import pool
from dkjax.data.pool import Pool
from dkjax.data.source import Records
from dkjax.errors import ArgumentError, DataError


def pieces_of(*counts: int, shape: tuple[int, int, int] = (2, 3, 1), seed: int = 0) -> list[Records]:
    random = np.random.default_rng(seed)
    return [
        {
            "image": random.integers(0, 256, (count, *shape), np.uint8),
            "label": random.integers(0, 9, count).astype(np.int32),
        }
        for count in counts
    ]


def whole(pieces: list[Records]) -> Records:
    return {
        "image": np.concatenate([piece["image"] for piece in pieces]),
        "label": np.concatenate([piece["label"] for piece in pieces]),
    }


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.data(), st.sampled_from([1, 1 << 20]))
def test_equals_concatenation(counts: list[int], data: st.DataObject, bytes_a_thread: int) -> None:
    pieces = pieces_of(*counts)
    one, expected = Pool(pieces), whole(pieces)
    assert len(one) == sum(counts)
    assert one.nbytes == expected["image"].nbytes + expected["label"].nbytes
    indices = st.lists(st.integers(0, len(one) - 1), max_size=20) if len(one) else st.just([])
    chosen = np.array(data.draw(indices), np.int64)
    before, pool._BYTES_A_THREAD = pool._BYTES_A_THREAD, bytes_a_thread
    try:
        for where in (chosen, slice(None), slice(1, None, 2), slice(None, None, -1)):
            batch = one[where]
            for name in ("image", "label"):
                np.testing.assert_array_equal(batch[name], expected[name][where])
                assert batch[name].dtype == expected[name].dtype
    finally:
        pool._BYTES_A_THREAD = before


def test_a_batch_is_a_copy() -> None:
    pieces = pieces_of(4, 4)
    batch = Pool(pieces)[:]
    batch["image"][:], batch["label"][:] = 0, 0
    np.testing.assert_array_equal(Pool(pieces)[:]["image"], whole(pieces_of(4, 4))["image"])
    np.testing.assert_array_equal(Pool(pieces)[:]["label"], whole(pieces_of(4, 4))["label"])


def test_what_cannot_be_pooled() -> None:
    with pytest.raises(DataError, match="there are no records"):
        Pool([])
    with pytest.raises(DataError, match=r"images of shape \[2, 3, 1\] and \[4, 3, 1\] cannot be mixed"):
        Pool([*pieces_of(2), *pieces_of(2, shape=(4, 3, 1))])
    with pytest.raises(ArgumentError, match=r"index 5 is outside 0\.\.4"):
        Pool(pieces_of(2, 3))[np.array([5])]


def test_threads_pass_on_what_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_BYTES_A_THREAD", 1)
    broken = Pool(pieces_of(8, 8))
    monkeypatch.setattr(broken, "_images", [])
    with pytest.raises(IndexError):
        broken[:]
