"""Known and chosen plaintext: a reused key is read, a disposable one is not."""

import numpy as np
import pytest
from encrypting import encrypting, sent
from photographs import FILES, load

from dkjax import schemes
from dkjax.attacks.plaintext import KnownPlaintext, chosen_images, read_with_chosen
from dkjax.attacks.protocol import Knowledge
from dkjax.attacks.ssim import ssim
from dkjax.errors import ArgumentError


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.stack([load(path, 64) for path in FILES[:3]])


def read(photographs: np.ndarray, shared: bool) -> np.ndarray:
    encrypted = sent(schemes.disposable(block_size=8), photographs, shared).images
    return KnownPlaintext().run(encrypted[1:], Knowledge(8, pair=(photographs[0], encrypted[0]))).images


def test_a_reused_key_is_read(photographs: np.ndarray) -> None:
    assert np.array_equal(read(photographs, shared=True), photographs[1:])


def test_another_key_is_not_read(photographs: np.ndarray) -> None:
    assert ssim(photographs[1:], read(photographs, shared=False)).max() < 0.2


@pytest.mark.parametrize("name", ["disposable", "patch_shuffle"])
def test_chosen_images_read_everything(photographs: np.ndarray, name: str) -> None:
    with encrypting(schemes.by_name(name, block_size=8), shared=True) as send:
        chosen = send(chosen_images((64, 64, 3))).images
        encrypted = send(photographs).images
    assert chosen.shape == (2, 64, 64, 3)
    assert np.array_equal(read_with_chosen(encrypted, chosen), photographs)


@pytest.mark.parametrize(("scheme", "shared"), [("disposable", False), ("etc", True)])
def test_chosen_images_need_one_key_and_values_that_stay(photographs: np.ndarray, scheme: str, shared: bool) -> None:
    with encrypting(schemes.by_name(scheme, block_size=8), shared=shared) as send:
        chosen = send(chosen_images((64, 64, 3))).images
    with pytest.raises(ArgumentError, match="came back with other values"):
        read_with_chosen(photographs, chosen)
