"""Linking: certain where values move, chance where they change."""

import time

import numpy as np
import pytest
from encrypting import encrypting, sent

from dkjax import schemes
from dkjax.attacks.linking import Linking
from dkjax.attacks.protocol import Knowledge
from dkjax.sources.open import open_source
from dkjax.sources.source import read_all


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return read_all(open_source("digits", None, image_size=(32, 32)))["image"][:200]


def link(encrypted: np.ndarray, candidates: np.ndarray, block_size: int) -> np.ndarray:
    return Linking().run(encrypted, Knowledge(block_size, candidates=candidates)).best


@pytest.mark.parametrize("fixed", [0, 4])
def test_finds_the_plain_image(digits: np.ndarray, fixed: int) -> None:
    scheme = schemes.disposable(block_size=8, fixed_blocks=fixed, fixed_pixels=fixed)
    found = link(sent(scheme, digits[:50]).images, digits, 8)
    assert np.mean(found == np.arange(50)) >= 0.99


def test_links_two_uploads(digits: np.ndarray) -> None:
    with encrypting(schemes.disposable(block_size=8)) as send:
        first, second = send(digits[:50]).images, send(digits).images
    assert not np.array_equal(first, second[:50])
    assert np.mean(link(first, second, 8) == np.arange(50)) >= 0.99


def test_fails_where_values_change(digits: np.ndarray) -> None:
    """Noise under a scheme that shuffles and negates half-bytes: means and deviations say nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 1), dtype=np.uint8)
    found = link(sent(schemes.ele(block_size=8), noise[:100]).images, noise, 8)
    assert np.mean(found == np.arange(100)) < 0.1


def test_a_thousand_against_a_thousand_takes_seconds() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    started = time.process_time()
    found = link(images[::-1], images, 4)
    assert np.array_equal(found, np.arange(1000)[::-1])
    assert time.process_time() - started < 5
