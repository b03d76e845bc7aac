"""The puzzle attack: photographs come back from one encrypted image; not where every block has its own order."""

import time

import numpy as np
import pytest
from encrypting import sent
from photographs import FILES, further_files, load, own_orders

from dkjax import schemes
from dkjax.attacks.jigsaw import Puzzle, solve
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import best_turned, ssim
from dkjax.attacks.trials import neighbours_right
from dkjax.errors import ArgumentError

CHELSEA = FILES[2]


def solved(photograph: np.ndarray, fixed_blocks: int, fixed_pixels: int, block_size: int = 16) -> dict[str, float]:
    scheme = schemes.disposable(block_size=block_size, fixed_blocks=fixed_blocks, fixed_pixels=fixed_pixels)
    encrypted = sent(scheme, photograph[None])
    solution = solve(encrypted.images[0], block_size)
    assert encrypted.block_orders is not None
    return {
        "sent": ssim(photograph[None], encrypted.images)[0],
        "neighbours": neighbours_right(solution.layout, encrypted.block_orders[0]),
        "turned": best_turned(photograph[None], solution.image[None])[0],
        "as it is": ssim(photograph[None], solution.image[None])[0],
        "anchored": solution.anchored,
    }


def test_a_photograph_comes_back() -> None:
    found = solved(load(CHELSEA), 0, 0)
    assert found["sent"] < 0.1
    assert found["neighbours"] > 0.95 and found["turned"] > 0.95
    assert not found["anchored"]


def test_positions_left_in_place_say_which_way_is_up() -> None:
    found = solved(load(CHELSEA), 147, 576)
    assert found["anchored"] and found["neighbours"] > 0.98 and found["as it is"] > 0.98


def test_a_picture_that_is_no_square() -> None:
    found = solved(load(CHELSEA)[32:-32], 0, 0)
    assert found["neighbours"] > 0.95 and found["turned"] > 0.95


def test_an_own_order_in_every_block_withstands() -> None:
    photograph = load(CHELSEA, 112)[None]
    encrypted = sent(schemes.disposable(block_size=16), photograph)
    assert encrypted.block_orders is not None
    found = Puzzle().run(own_orders(encrypted.images, 16), Knowledge(16))
    assert found.layouts is not None
    assert neighbours_right(found.layouts[0], encrypted.block_orders[0]) < 0.3
    assert best_turned(photograph, found.images)[0] < 0.25


def test_grey_images_come_back_in_pieces() -> None:
    """Borders of one channel say less: large pieces come back, at other places."""
    found = solved(load(CHELSEA)[..., 1:2].copy(), 0, 0)
    assert found["neighbours"] > 0.25


def test_nothing_but_the_order_changes() -> None:
    encrypted = sent(schemes.disposable(block_size=16), load(CHELSEA, 112)[None]).images[0]
    solution = solve(encrypted, 16)
    assert np.array_equal(np.sort(solution.image, axis=None), np.sort(encrypted, axis=None))
    assert np.array_equal(np.sort(solution.layout, axis=None), np.arange(49))
    assert np.array_equal(np.sort(solution.positions, axis=None), np.arange(768))


@pytest.mark.parametrize(("side", "block_size"), [(16, 8), (16, 1)])
def test_too_little_for_a_puzzle(side: int, block_size: int) -> None:
    with pytest.raises(ArgumentError, match=f"blocks of {block_size} x {block_size} pixels are no puzzle"):
        solve(np.zeros((side, side, 3), np.uint8), block_size)


def test_flat_and_random_images_do_not_stop_it() -> None:
    for image in (np.zeros((16, 16, 3)), np.random.default_rng(0).integers(0, 256, (16, 16, 3))):
        assert solve(image.astype(np.uint8), 4).image.shape == (16, 16, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixed_blocks", "fixed_pixels", "least"), [(0, 0, 0.9), (98, 384, 0.95), (147, 576, 0.98), (0, 768, 0.95)]
)
def test_the_numbers_of_the_page(fixed_blocks: int, fixed_pixels: int, least: float) -> None:
    """Photographs of everyday scenes; the eye and the stars, which have flat black edges or no neighbours, aside."""
    files = [path for path in (*FILES, *further_files()) if path.stem not in ("retina", "hubble_deep_field")]
    started = time.process_time()
    found = [solved(load(path), fixed_blocks, fixed_pixels) for path in files]
    seconds = (time.process_time() - started) / len(files)
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    print(f"({fixed_blocks}, {fixed_pixels}), {len(files)} photographs:", means, f"{seconds:.2f} s of CPU each")
    assert means["neighbours"] >= 0.95 and means["turned"] >= least and seconds <= 5


@pytest.mark.slow
def test_an_own_order_in_every_block_on_photographs() -> None:
    photographs = np.stack([load(path) for path in FILES if path.stem not in ("retina", "hubble_deep_field")])
    encrypted = sent(schemes.disposable(block_size=16), photographs)
    found = Puzzle().run(own_orders(encrypted.images, 16), Knowledge(16))
    assert found.layouts is not None and encrypted.block_orders is not None
    neighbours = [neighbours_right(*pair) for pair in zip(found.layouts, encrypted.block_orders, strict=True)]
    similarity = best_turned(photographs, found.images)
    print(
        f"{len(photographs)} photographs: {np.mean(neighbours):.3f} of neighbours right, SSIM {similarity.mean():.3f}"
    )
    assert np.mean(neighbours) < 0.1 and similarity.mean() < 0.15
