"""Template: a known scene is put back, and what changed in it is named."""

import numpy as np
from encrypting import sent
from photographs import FILES, load

from dkjax import schemes
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import ssim
from dkjax.attacks.template import Template
from dkjax.cipher.array_blocks import from_blocks, to_blocks

SIZE, BLOCK, CHANGED = 112, 16, 24


def changed_scene() -> tuple[np.ndarray, np.ndarray]:
    """An empty scene, and what a camera with some noise sees when a block of it is different."""
    scene, other = load(FILES[0], SIZE), load(FILES[1], SIZE)
    blocks = to_blocks(scene[None], BLOCK).copy()
    blocks[0, CHANGED] = to_blocks(other[None], BLOCK)[0, CHANGED]
    noise = np.random.default_rng(0).normal(0, 2, (1, SIZE, SIZE, 3))
    seen = np.clip(np.rint(from_blocks(blocks, scene.shape, BLOCK) + noise), 0, 255).astype(np.uint8)
    return scene, seen


def test_names_the_changed_block() -> None:
    scene, seen = changed_scene()
    encrypted = sent(schemes.disposable(block_size=BLOCK), seen)
    found = Template().run(encrypted.images, Knowledge(BLOCK, scene=scene))
    assert found.layouts is not None and found.odd_blocks is not None and encrypted.block_orders is not None
    assert np.mean(encrypted.block_orders[0][found.layouts[0].ravel()] == np.arange(49)) >= 0.9
    assert found.odd_blocks.tolist() == [CHANGED]
    assert ssim(seen, found.images)[0] > 0.9


def test_another_scene_gives_nothing() -> None:
    _, seen = changed_scene()
    encrypted = sent(schemes.disposable(block_size=BLOCK), seen)
    found = Template().run(encrypted.images, Knowledge(BLOCK, scene=load(FILES[3], SIZE)))
    assert found.layouts is not None and encrypted.block_orders is not None
    assert np.mean(encrypted.block_orders[0][found.layouts[0].ravel()] == np.arange(49)) < 0.2
    assert ssim(seen, found.images)[0] < 0.3


def test_knowing_nothing_finds_nothing() -> None:
    """An assignment among equals must not be the identity, or it would look like knowledge."""
    flat = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    found = Template().run(flat, Knowledge(BLOCK, scene=flat[0]))
    assert found.layouts is not None
    assert np.mean(found.layouts[0].ravel() == np.arange(49)) < 0.2
