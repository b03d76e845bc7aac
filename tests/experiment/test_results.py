"""What `results.json` says of an arm."""

from typing import Any

import pytest

from dkjax.cipher import Scheme, schemes
from dkjax.experiment.arms.kind import Arm
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.results import arm_summary

RUN: dict[str, Any] = {
    **dict.fromkeys(("upload_bytes", "seconds", "encrypt_seconds", "client_seconds"), 0),
    "test_accuracy": {"plain": 0.5},
    "ssim": None,
    "client_bytes": {},
    "federation": None,
    "curve": [],
}


@pytest.mark.parametrize(
    ("scheme", "variant"),
    [
        (schemes.disposable(4), (None, None, None)),
        (schemes.sorted_blocks(4), (None, None, None)),
        (schemes.sorted_blocks(4, order_by="channel"), ("channel", None, None)),
        (schemes.sorted_blocks(4, levels=4, epsilon=1.0), (None, 4, 1.0)),
    ],
)
def test_variants_of_a_scheme_are_told_apart(scheme: Scheme, variant: tuple[Any, ...]) -> None:
    arm = Arm("disposable", arm_kind("disposable"), scheme)
    found = arm_summary(arm, (8, 8, 1), "chacha20", "values", [RUN])
    assert tuple(found[name] for name in ("order_by", "levels", "epsilon")) == variant
