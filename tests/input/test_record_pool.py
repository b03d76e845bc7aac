"""The pool: a batch is what concatenated pieces would give, and its memory is its own."""

import gc

import jax
import numpy as np
import pytest

from dkjax.errors import ArgumentError, DataError
from dkjax.input import record_pool as pool_module
from dkjax.input.record_pool import RecordPool


def pieces(*counts: int, shape: tuple[int, int, int] = (4, 4, 3)) -> list[dict]:
    rng = np.random.default_rng(len(counts))
    return [
        {"image": rng.integers(0, 256, (n, *shape), np.uint8), "label": rng.integers(0, 9, n, np.int32)} for n in counts
    ]


def concatenated(parts: list[dict]) -> dict:
    return {name: np.concatenate([part[name] for part in parts]) for name in ("image", "label")}


def assert_same(found: dict, expected: dict) -> None:
    for name, dtype in (("image", np.uint8), ("label", np.int32)):
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("counts", [(7,), (3, 1, 5), (0, 4, 0, 2), (1,) * 20])
@pytest.mark.parametrize("threads", [1, 3])
def test_equals_concatenation(counts: tuple[int, ...], threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if threads > 1:
        monkeypatch.setattr(pool_module, "_SMALL_IMAGE", 1)
        monkeypatch.setattr(pool_module, "_BYTES_A_THREAD", 1)
        monkeypatch.setattr(pool_module, "_cores", lambda: threads)
    parts = pieces(*counts)
    pool, whole = RecordPool(parts), concatenated(parts)
    assert (len(pool), pool.image_shape) == (sum(counts), (4, 4, 3))
    assert pool.nbytes == whole["image"].nbytes + whole["label"].nbytes
    rng = np.random.default_rng(0)
    chosen = [rng.integers(0, len(pool), size) for size in (1, 2, 50)]
    for indices in (slice(None), slice(1, 100, 2), slice(0, 0), np.arange(len(pool))[::-1], *chosen):
        assert_same(pool[indices], {name: array[indices] for name, array in whole.items()})
    assert_same(pool[np.empty(0, np.int64)], {name: array[:0] for name, array in whole.items()})


def test_pieces_that_do_not_lie_in_a_row() -> None:
    (part,) = pieces(10)
    backwards = {"image": part["image"][::-2], "label": part["label"][::-2]}
    assert_same(RecordPool([backwards, part])[:], concatenated([backwards, part]))


@pytest.mark.parametrize("shape", [(4, 4, 3), (64, 64, 8)])
def test_no_batch_is_overwritten(shape: tuple[int, int, int]) -> None:
    """JAX may go on using the memory of a batch: neither a later batch nor its release may change what it sees."""
    parts = pieces(40, 24, shape=shape)
    pool, whole = RecordPool(parts), concatenated(parts)["image"]
    device = jax.devices("cpu")[0]
    rng = np.random.default_rng(1)
    chosen = [rng.integers(0, 64, 48) for _ in range(20)]
    held = []
    for indices in chosen:
        held.append(jax.device_put(pool[indices]["image"], device))
        gc.collect()
    for indices, array in zip(chosen, held, strict=True):
        np.testing.assert_array_equal(array, whole[indices])


@pytest.mark.parametrize("count", [1, 7, 64])
def test_jax_on_a_cpu_need_not_copy(count: int) -> None:
    for _ in range(5):
        images = RecordPool(pieces(64))[:count]["image"]
        assert images.ctypes.data % 64 == 0
        assert images.flags.c_contiguous


def test_a_batch_is_a_copy() -> None:
    parts = pieces(5)
    pool = RecordPool(parts)
    before = parts[0]["image"].copy()
    batch = pool[:]
    batch["image"][:], batch["label"][:] = 0, 0
    np.testing.assert_array_equal(parts[0]["image"], before)
    assert_same(pool[:], parts[0])


def test_pieces_are_not_copied() -> None:
    parts = pieces(3, 4)
    assert all(one["image"] is other["image"] for one, other in zip(RecordPool(parts).pieces, parts, strict=True))


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="nothing was uploaded"):
        RecordPool([])
    with pytest.raises(DataError, match=r"images of shape \[4, 4, 3\] and \[8, 8, 3\] cannot be mixed"):
        RecordPool([*pieces(2), *pieces(2, shape=(8, 8, 3))])
    pool = RecordPool(pieces(3, 2))
    for bad in (np.array([5]), np.array([-1])):
        with pytest.raises(ArgumentError, match=r"outside 0\.\.4"):
            pool[bad]
