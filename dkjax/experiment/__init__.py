"""Clients, server and their rivals in one process, compared."""

from typing import TYPE_CHECKING

from dkjax.runtime.lazy import lazily

if TYPE_CHECKING:
    from dkjax.experiment.arms.kind import Arm, ArmKind, ArmResult, ArmTask, Round
    from dkjax.experiment.arms.registry import register_arm_kind
    from dkjax.experiment.comparison import Comparison, arm, compare, plain

__all__ = [
    "Arm",
    "ArmKind",
    "ArmResult",
    "ArmTask",
    "Comparison",
    "Round",
    "arm",
    "compare",
    "plain",
    "register_arm_kind",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(("Arm", "ArmKind", "ArmResult", "ArmTask", "Round"), "dkjax.experiment.arms.kind"),
        **dict.fromkeys(("Comparison", "arm", "compare", "plain"), "dkjax.experiment.comparison"),
        "register_arm_kind": "dkjax.experiment.arms.registry",
    },
)
