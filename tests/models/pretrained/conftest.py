"""timm, for the tests that compare with it."""

import warnings

import pytest
from with_torchvision import import_torchvision


@pytest.fixture(scope="module")
def timm():
    import torch

    torch.set_num_threads(2)
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    return timm
