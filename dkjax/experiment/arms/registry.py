"""Every kind of arm by its name; a kind is imported when it is used, so that a configuration is read without JAX."""

import importlib
from typing import TYPE_CHECKING

from dkjax.errors import ArgumentError, ConfigError

if TYPE_CHECKING:
    from dkjax.experiment.arms.kind import ArmKind

_MODULES = {
    "plain": "dkjax.experiment.arms.plain",
    "disposable": "dkjax.experiment.arms.disposable",
    "client_key": "dkjax.experiment.arms.client_key",
    "shared_key": "dkjax.experiment.arms.shared_key",
    **dict.fromkeys(("fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only"), "dkjax.experiment.arms.federated"),
}
"""Modules with a value `KIND`, or with `KINDS` by name."""

_registered: "dict[str, ArmKind]" = {}


def register_arm_kind(kind: "ArmKind") -> None:
    """Let configurations of this process name a kind of arm.

    Raises:
        ArgumentError: its name is taken by another kind.
    """
    if kind.name in arm_kinds() and _registered.get(kind.name) != kind:
        raise ArgumentError(f"there is a kind of arm named {kind.name!r}: choose another name")
    _registered[kind.name] = kind


def arm_kinds() -> tuple[str, ...]:
    """Return the names of all kinds."""
    return (*_MODULES, *_registered)


def arm_kind(name: str) -> "ArmKind":
    """Return a kind by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in _registered:
        return _registered[name]
    if name not in _MODULES:
        raise ConfigError(f"there is no kind of arm {name!r}; known are {', '.join(arm_kinds())}")
    module = importlib.import_module(_MODULES[name])
    kind: ArmKind = module.KINDS[name] if hasattr(module, "KINDS") else module.KIND
    return kind


def kind_in_name(arm: str) -> str | None:
    """Return the kind that the name of an arm begins with, the longest of several; None if there is none."""
    return max((kind for kind in arm_kinds() if arm.startswith(kind)), key=len, default=None)
