"""The digits of scikit-learn."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dkjax.errors import ConfigError
from dkjax.sources.digits import open_digits


def test_real_digits() -> None:
    source = open_digits()
    batch = source[:]
    assert len(source) == 1797
    assert source.image_shape == (8, 8, 1)
    assert source.class_names == tuple("0123456789")
    assert (batch["image"].min(), batch["image"].max()) == (0, 255)
    np.testing.assert_array_equal(np.rint(batch["image"][..., 0] * (16 / 255)), load_digits().images)
    np.testing.assert_array_equal(batch["label"], load_digits().target)


def test_size_and_channels() -> None:
    assert open_digits((32, 16), 3)[:5]["image"].shape == (5, 32, 16, 3)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError, match=r"pip install scikit-learn"):
        open_digits()
